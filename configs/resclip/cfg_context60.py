"""PASCAL Context val, 59 classes and background, in ResCLIP's protocol (arXiv 2411.15851)."""

_base_ = ["../cfg_context60.py", "./protocol.py"]

model = dict(
    _base_.protocol,
    prob_thd=0.1,
    label_threshold=0.3,
    residual_weight=0.3,
    feedback_temperature=1.8,
    feedback_weight=0.7,
)
