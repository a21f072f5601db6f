"""PASCAL VOC 2012 val, 20 classes and background, in NACLIP's protocol (arXiv 2404.08181)."""

_base_ = ["../cfg_voc21.py", "./protocol.py"]

model = dict(_base_.protocol, name_path="./configs/sclip/cls_voc21.txt", prob_thd=0.1, slide_crop=0)
