"""Zero-shot COCO-Stuff164k: DeepLabv3+-R101, 80000 iterations.

No published run is known: the settings are DeepLabv2's.
"""

_base_ = ["../_base_/zero_shot_coco_stuff164k.py", "../_base_/student_deeplabv3plus_r101.py"]

model = dict(student=_base_.student)
