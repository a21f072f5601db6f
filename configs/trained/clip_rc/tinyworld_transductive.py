"""Transductive zero-shot segmentation of the tiny world: of 5 classes the training knows only where they are."""

_base_ = "./_base_/data_tinyworld.py"

model = dict(setting="transductive")
train_cfg = dict(max_iters=1200, val_interval=600)  # which says when to save, too
starts_from = "clip_rc/tinyworld_inductive/iter_1200.pth"  # weights alone
