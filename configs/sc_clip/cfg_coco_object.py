"""COCO val2017, 80 things and background, in SC-CLIP's protocol (arXiv 2411.15869)."""

_base_ = ["../cfg_coco_object.py", "./protocol.py"]

model = dict(_base_.protocol, name_path="./configs/sclip/cls_coco_object.txt", prob_thd=0.35, logit_scale=55)
