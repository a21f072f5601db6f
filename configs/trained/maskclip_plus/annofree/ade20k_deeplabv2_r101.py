"""Annotation-free ADE20K: DeepLabv2-R101, 8000 iterations.

The published settings; no published number is known.
"""

_base_ = ["../_base_/data_ade20k.py", "../_base_/student_deeplabv2_r101.py"]

model = dict(student=_base_.student)
train_cfg = dict(max_iters=8000, val_interval=4000)
