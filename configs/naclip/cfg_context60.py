"""PASCAL Context val, 59 classes and background, in NACLIP's protocol (arXiv 2404.08181)."""

_base_ = ["../cfg_context60.py", "./protocol.py"]

model = dict(_base_.protocol, prob_thd=0.1)
