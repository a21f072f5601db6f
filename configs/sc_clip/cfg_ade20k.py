"""ADE20K validation, 150 classes, in SC-CLIP's protocol (arXiv 2411.15869)."""

_base_ = ["../cfg_ade20k.py", "./protocol.py"]

model = _base_.protocol

test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (2048, 336)

test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
