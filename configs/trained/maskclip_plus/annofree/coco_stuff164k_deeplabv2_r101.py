"""Annotation-free COCO-Stuff164k: DeepLabv2-R101, 8000 iterations."""

_base_ = ["../_base_/data_coco_stuff164k.py", "../_base_/student_deeplabv2_r101.py"]

model = dict(student=_base_.student)
train_cfg = dict(max_iters=8000, val_interval=4000)
