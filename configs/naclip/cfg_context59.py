"""PASCAL Context val, 59 classes, in NACLIP's protocol (arXiv 2404.08181)."""

_base_ = ["../cfg_context59.py", "./protocol.py"]

model = _base_.protocol
