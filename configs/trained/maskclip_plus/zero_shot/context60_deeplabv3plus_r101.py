"""Zero-shot PASCAL Context with background: DeepLabv3+-R101, 40000 iterations."""

_base_ = ["../_base_/zero_shot_context60.py", "../_base_/student_deeplabv3plus_r101.py"]

model = dict(student=_base_.student)
optim_wrapper = dict(optimizer=dict(lr=0.004, weight_decay=0.0001))
