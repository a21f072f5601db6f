"""Transductive zero-shot PASCAL VOC 2012: of 5 classes the training knows only where they are."""

_base_ = "./_base_/data_voc20.py"

model = dict(setting="transductive")
train_cfg = dict(max_iters=20000, val_interval=2000)
starts_from = "clip_rc/voc20_inductive/iter_20000.pth"  # weights alone
