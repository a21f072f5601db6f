"""Annotation-free PASCAL VOC 2012, 20 classes: DeepLabv3+-R101, 2000 iterations.

No published run is known: the settings are DeepLabv2's.
"""

_base_ = ["../_base_/data_voc20.py", "../_base_/student_deeplabv3plus_r101.py"]

model = dict(student=_base_.student)
train_cfg = dict(max_iters=2000, val_interval=1000)
