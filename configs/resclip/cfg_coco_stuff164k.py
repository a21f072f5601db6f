"""COCO-Stuff164k val2017, 171 classes, in ResCLIP's protocol (arXiv 2411.15851)."""

_base_ = ["../cfg_coco_stuff164k.py", "./protocol.py"]

model = dict(_base_.protocol, label_threshold=0.11, residual_weight=0.4, feedback_temperature=1.8, feedback_weight=0.7)
