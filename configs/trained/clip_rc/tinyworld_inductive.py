"""Inductive zero-shot segmentation of the tiny world: 14 classes have labels; 5 are first named when it is tested."""

_base_ = "./_base_/data_tinyworld.py"

train_cfg = dict(max_iters=1200, val_interval=600)  # which says when to save, too
default_hooks = dict(checkpoint=dict(keep=(600,)))  # half-way: tinyworld_transductive.py starts there
