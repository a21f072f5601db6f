"""ADE20K validation, 150 classes, in SCLIP's protocol (arXiv 2312.01597)."""

_base_ = ["../cfg_ade20k.py", "./protocol.py"]

model = _base_.protocol

test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (2048, 336)

test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
