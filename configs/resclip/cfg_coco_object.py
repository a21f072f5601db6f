"""COCO val2017, 80 things and background, in ResCLIP's protocol (arXiv 2411.15851)."""

_base_ = ["../cfg_coco_object.py", "./protocol.py"]

model = dict(
    _base_.protocol,
    name_path="./configs/sclip/cls_coco_object.txt",
    prob_thd=0.1,
    label_threshold=0.11,
    residual_weight=0.4,
    feedback_temperature=1.8,
    feedback_weight=0.7,
)
