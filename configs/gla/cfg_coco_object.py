"""COCO val2017, 80 things and background, in GLA-CLIP's protocol (arXiv 2603.23030)."""

_base_ = ["../cfg_coco_object.py", "./protocol.py"]

model = _base_.protocol
