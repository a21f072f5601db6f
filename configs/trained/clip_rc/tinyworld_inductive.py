"""Inductive zero-shot segmentation of the tiny world: minutes on two CPU cores."""

_base_ = "./_base_/data_tinyworld.py"

train_cfg = dict(max_iters=2000, val_interval=1000)  # which says when to save, too
