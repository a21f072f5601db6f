"""Cityscapes val, 19 classes, in GLA-CLIP's protocol (arXiv 2603.23030)."""

_base_ = ["../cfg_city_scapes.py", "./protocol.py"]

model = _base_.protocol
