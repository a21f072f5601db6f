"""Cityscapes val, 19 classes, in ResCLIP's protocol (arXiv 2411.15851)."""

_base_ = ["../cfg_city_scapes.py", "./protocol.py"]

model = dict(_base_.protocol, label_threshold=0.1, residual_weight=0.2, feedback_temperature=2.1, feedback_weight=0.6)

test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (2048, 560)

test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
