"""COCO-Stuff164k val2017, 171 classes, in ClearCLIP's protocol (arXiv 2407.12442)."""

_base_ = ["../cfg_coco_stuff164k.py", "./protocol.py"]

model = _base_.protocol

test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (2048, 448)

test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
