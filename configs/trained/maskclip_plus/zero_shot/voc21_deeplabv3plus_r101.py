"""Zero-shot PASCAL VOC 2012 with background: DeepLabv3+-R101, 20000 iterations.

No published run is known: the settings are DeepLabv2's.
"""

_base_ = ["../_base_/zero_shot_voc21.py", "../_base_/student_deeplabv3plus_r101.py"]

model = dict(student=_base_.student)
