"""Inductive zero-shot COCO-Stuff164k: 156 classes have labels; 15 are first named when it is tested."""

_base_ = "./_base_/data_coco_stuff164k.py"

train_cfg = dict(max_iters=80000, val_interval=8000)
default_hooks = dict(checkpoint=dict(keep=(40000,)))  # half-way: coco_stuff164k_transductive.py starts there
