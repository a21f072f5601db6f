"""ADE20K validation, 150 classes, in ResCLIP's protocol (arXiv 2411.15851)."""

_base_ = ["../cfg_ade20k.py", "./protocol.py"]

model = dict(_base_.protocol, label_threshold=0.25, residual_weight=0.3, feedback_temperature=2.1, feedback_weight=0.7)

test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (2048, 336)

test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
