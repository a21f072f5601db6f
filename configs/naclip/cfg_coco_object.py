"""COCO val2017, 80 things and background, in NACLIP's protocol (arXiv 2404.08181)."""

_base_ = ["../cfg_coco_object.py", "./protocol.py"]

model = dict(_base_.protocol, name_path="./configs/sclip/cls_coco_object.txt", prob_thd=0.1)
