"""PASCAL Context val, 59 classes and background, in SCLIP's protocol (arXiv 2312.01597)."""

_base_ = ["../cfg_context60.py", "./protocol.py"]

model = dict(_base_.protocol, prob_thd=0.1, logit_scale=50)
