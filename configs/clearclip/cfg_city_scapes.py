"""Cityscapes val, 19 classes, in ClearCLIP's protocol (arXiv 2407.12442)."""

_base_ = ["../cfg_city_scapes.py", "./protocol.py"]

model = dict(_base_.protocol, slide_crop=224)
