"""ADE20K validation, 150 classes, in NACLIP's protocol (arXiv 2404.08181)."""

_base_ = ["../cfg_ade20k.py", "./protocol.py"]

model = _base_.protocol

test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (2048, 336)

test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
