"""Annotation-free PASCAL Context, 59 classes: SegFormer-b5, 8000 iterations.

A later fork's settings, which had one GPU and a batch of 8.
"""

_base_ = ["../_base_/data_context59.py", "../_base_/student_segformer_b5.py"]

model = dict(student=_base_.student)
train_cfg = dict(max_iters=8000, val_interval=4000)
