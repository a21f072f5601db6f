"""COCO-Stuff10k test2014, 171 classes, in SCLIP's protocol (arXiv 2312.01597)."""

_base_ = ["../cfg_coco_stuff10k.py", "./protocol.py"]

model = _base_.protocol
