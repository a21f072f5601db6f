"""PASCAL VOC 2012 val, 20 classes and background, in GLA-CLIP's protocol (arXiv 2603.23030)."""

_base_ = ["../cfg_voc21.py", "./protocol.py"]

model = _base_.protocol
