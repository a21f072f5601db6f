"""PASCAL Context val, 59 classes and background, in SCLIP's protocol (arXiv 2312.01597)."""

_base_ = "../cfg_context60.py"

model = dict(prob_thd=0.1, logit_scale=50, slide_crop=224)
