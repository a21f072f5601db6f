"""Annotation-free PASCAL VOC 2012, 20 classes: DeepLabv2-R101, 2000 iterations."""

_base_ = ["../_base_/data_voc20.py", "../_base_/student_deeplabv2_r101.py"]

model = dict(student=_base_.student)
train_cfg = dict(max_iters=2000, val_interval=1000)
