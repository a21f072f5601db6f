"""PASCAL VOC 2012 val, 20 classes, in SC-CLIP's protocol (arXiv 2411.15869)."""

_base_ = ["../cfg_voc20.py", "./protocol.py"]

model = dict(_base_.protocol, name_path="./configs/sclip/cls_voc20.txt")
