"""MaskCLIP alone, the teacher, on COCO-Stuff164k: nothing is trained."""

_base_ = "../_base_/data_coco_stuff164k.py"

model = dict(type="MaskCLIPTeacher")
train_dataloader, train_cfg = None, None
val_dataloader, val_cfg, val_evaluator = None, None, None
