"""Zero-shot PASCAL VOC 2012 without background: DeepLabv2-R101, 20000 iterations."""

_base_ = ["../_base_/zero_shot_voc20.py", "../_base_/student_deeplabv2_r101.py"]

model = dict(student=_base_.student)
