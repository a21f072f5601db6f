"""PASCAL Context val, 59 classes, in ResCLIP's protocol (arXiv 2411.15851)."""

_base_ = ["../cfg_context59.py", "./protocol.py"]

model = dict(_base_.protocol, label_threshold=0.25, residual_weight=0.4, feedback_temperature=1.8, feedback_weight=0.7)
