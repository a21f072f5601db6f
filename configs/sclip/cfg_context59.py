"""PASCAL Context val, 59 classes, in SCLIP's protocol (arXiv 2312.01597)."""

_base_ = ["../cfg_context59.py", "./protocol.py"]

model = _base_.protocol
