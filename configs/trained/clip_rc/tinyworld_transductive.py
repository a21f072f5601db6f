"""Transductive zero-shot segmentation of the tiny world: of 5 classes the training knows only where they are."""

_base_ = "./_base_/data_tinyworld.py"

model = dict(setting="transductive")
train_cfg = dict(max_iters=600, val_interval=300)  # which says when to save, too
starts_from = "clip_rc/tinyworld_inductive/iter_600.pth"  # weights alone
