"""COCO-Stuff164k val2017, 171 classes, in GLA-CLIP's protocol (arXiv 2603.23030)."""

_base_ = ["../cfg_coco_stuff164k.py", "./protocol.py"]

model = _base_.protocol
