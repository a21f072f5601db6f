"""PASCAL Context val, 59 classes, in GLA-CLIP's protocol (arXiv 2603.23030)."""

_base_ = ["../cfg_context59.py", "./protocol.py"]

model = _base_.protocol
