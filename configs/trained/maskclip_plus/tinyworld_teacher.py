"""MaskCLIP alone, the teacher of the tiny world's students: nothing is trained."""

_base_ = "./_base_/data_tinyworld.py"

model = dict(type="MaskCLIPTeacher")
train_dataloader, train_cfg = None, None
