"""MaskCLIP alone, the teacher, on Cityscapes: nothing is trained."""

_base_ = "../_base_/data_city_scapes.py"

model = dict(type="MaskCLIPTeacher")
train_dataloader, train_cfg = None, None
val_dataloader, val_cfg, val_evaluator = None, None, None
