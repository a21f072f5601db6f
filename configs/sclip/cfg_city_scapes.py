"""Cityscapes val, 19 classes, in SCLIP's protocol (arXiv 2312.01597)."""

_base_ = ["../cfg_city_scapes.py", "./protocol.py"]

model = _base_.protocol

test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (2048, 560)

test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
