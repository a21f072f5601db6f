"""Transductive zero-shot COCO-Stuff164k: of 15 classes the training knows only where they are."""

_base_ = "./_base_/data_coco_stuff164k.py"

model = dict(setting="transductive")
train_cfg = dict(max_iters=40000, val_interval=4000)
starts_from = "clip_rc/coco_stuff164k_inductive/iter_40000.pth"  # weights alone
