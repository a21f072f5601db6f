"""Annotation-free PASCAL VOC 2012, 20 classes: SegFormer-b5, 8000 iterations.

No published run is known; iterations and optimiser are those of SegFormer-b5 on Context.
"""

_base_ = ["../_base_/data_voc20.py", "../_base_/student_segformer_b5.py"]

model = dict(student=_base_.student)
train_cfg = dict(max_iters=8000, val_interval=4000)
