"""Annotation-free Cityscapes: DeepLabv2-R101, 4000 iterations.

The published settings; no published number is known.
"""

_base_ = ["../_base_/data_city_scapes.py", "../_base_/student_deeplabv2_r101.py"]

model = dict(student=_base_.student)
train_cfg = dict(max_iters=4000, val_interval=2000)
