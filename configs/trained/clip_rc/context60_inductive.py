"""Inductive zero-shot PASCAL Context with background: 50 classes have labels; 10 are first named when it is tested.

No configuration was published for this data set: the settings are VOC's.
"""

_base_ = "./_base_/data_context60.py"

train_cfg = dict(max_iters=40000, val_interval=4000)
default_hooks = dict(checkpoint=dict(keep=(20000,)))  # half-way: context60_transductive.py starts there
