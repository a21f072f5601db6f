"""Zero-shot PASCAL Context with background: DeepLabv2-R101, 40000 iterations.

No published run is known: the settings are DeepLabv3+'s.
"""

_base_ = ["../_base_/zero_shot_context60.py", "../_base_/student_deeplabv2_r101.py"]

model = dict(student=_base_.student)
optim_wrapper = dict(optimizer=dict(lr=0.004, weight_decay=0.0001))
