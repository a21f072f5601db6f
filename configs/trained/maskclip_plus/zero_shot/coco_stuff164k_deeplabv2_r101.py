"""Zero-shot COCO-Stuff164k: DeepLabv2-R101, 80000 iterations."""

_base_ = ["../_base_/zero_shot_coco_stuff164k.py", "../_base_/student_deeplabv2_r101.py"]

model = dict(student=_base_.student)
