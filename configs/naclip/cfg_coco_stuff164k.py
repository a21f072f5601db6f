"""COCO-Stuff164k val2017, 171 classes, in NACLIP's protocol (arXiv 2404.08181)."""

_base_ = ["../cfg_coco_stuff164k.py", "./protocol.py"]

model = _base_.protocol
