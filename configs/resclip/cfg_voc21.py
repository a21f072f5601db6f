"""PASCAL VOC 2012 val, 20 classes and background, in ResCLIP's protocol (arXiv 2411.15851)."""

_base_ = ["../cfg_voc21.py", "./protocol.py"]

model = dict(
    _base_.protocol,
    name_path="./configs/sclip/cls_voc21.txt",
    prob_thd=0.1,
    slide_crop=0,
    label_threshold=0.5,
    residual_weight=0.3,
    feedback_temperature=2.2,
    feedback_weight=0.7,
)
