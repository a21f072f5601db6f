"""PASCAL VOC 2012 val, 20 classes and background, in ClearCLIP's protocol (arXiv 2407.12442)."""

_base_ = ["../cfg_voc21.py", "./protocol.py"]

model = dict(_base_.protocol, prob_thd=0.5)

test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (2048, 448)

test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
