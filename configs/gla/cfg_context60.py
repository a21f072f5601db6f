"""PASCAL Context val, 59 classes and background, in GLA-CLIP's protocol (arXiv 2603.23030)."""

_base_ = ["../cfg_context60.py", "./protocol.py"]

model = _base_.protocol
