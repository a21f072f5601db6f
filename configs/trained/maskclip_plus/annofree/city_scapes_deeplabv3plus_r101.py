"""Annotation-free Cityscapes: DeepLabv3+-R101, 4000 iterations.

No published run is known: the settings are DeepLabv2's.
"""

_base_ = ["../_base_/data_city_scapes.py", "../_base_/student_deeplabv3plus_r101.py"]

model = dict(student=_base_.student)
train_cfg = dict(max_iters=4000, val_interval=2000)
