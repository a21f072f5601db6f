"""PASCAL Context val, 59 classes and background, in SC-CLIP's protocol (arXiv 2411.15869)."""

_base_ = ["../cfg_context60.py", "./protocol.py"]

model = dict(_base_.protocol, prob_thd=0.15)
