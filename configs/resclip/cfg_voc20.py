"""PASCAL VOC 2012 val, 20 classes, in ResCLIP's protocol (arXiv 2411.15851)."""

_base_ = ["../cfg_voc20.py", "./protocol.py"]

model = dict(
    _base_.protocol,
    name_path="./configs/sclip/cls_voc20.txt",
    slide_crop=0,
    label_threshold=0.1,
    residual_weight=0.6,
    feedback_temperature=2.1,
    feedback_weight=0.6,
)
