"""MaskCLIP alone, the teacher, on PASCAL VOC 2012, 20 classes: nothing is trained."""

_base_ = "../_base_/data_voc20.py"

model = dict(type="MaskCLIPTeacher")
train_dataloader, train_cfg = None, None
val_dataloader, val_cfg, val_evaluator = None, None, None
