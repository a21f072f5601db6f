"""Inductive zero-shot PASCAL VOC 2012: 15 classes have labels; 5 are first named when it is tested."""

_base_ = "./_base_/data_voc20.py"

train_cfg = dict(max_iters=40000, val_interval=4000)
default_hooks = dict(checkpoint=dict(keep=(20000,)))  # half-way: voc20_transductive.py starts there
