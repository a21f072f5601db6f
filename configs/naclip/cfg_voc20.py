"""PASCAL VOC 2012 val, 20 classes, in NACLIP's protocol (arXiv 2404.08181)."""

_base_ = ["../cfg_voc20.py", "./protocol.py"]

model = dict(_base_.protocol, name_path="./configs/sclip/cls_voc20.txt", slide_crop=0)
