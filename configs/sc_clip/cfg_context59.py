"""PASCAL Context val, 59 classes, in SC-CLIP's protocol (arXiv 2411.15869)."""

_base_ = ["../cfg_context59.py", "./protocol.py"]

model = _base_.protocol
