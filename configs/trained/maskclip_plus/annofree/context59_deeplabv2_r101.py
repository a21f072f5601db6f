"""Annotation-free PASCAL Context, 59 classes: DeepLabv2-R101, 4000 iterations."""

_base_ = ["../_base_/data_context59.py", "../_base_/student_deeplabv2_r101.py"]

model = dict(student=_base_.student)
train_cfg = dict(max_iters=4000, val_interval=2000)
