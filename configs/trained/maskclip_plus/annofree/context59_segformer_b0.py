"""Annotation-free PASCAL Context, 59 classes: SegFormer-b0, 8000 iterations.

The settings are those of SegFormer-b5.
"""

_base_ = ["../_base_/data_context59.py", "../_base_/student_segformer_b0.py"]

model = dict(student=_base_.student)
train_cfg = dict(max_iters=8000, val_interval=4000)
