"""Transductive zero-shot PASCAL Context with background: of 10 classes the training knows only where they are.

No configuration was published for this data set: the settings are VOC's.
"""

_base_ = "./_base_/data_context60.py"

model = dict(setting="transductive")
train_cfg = dict(max_iters=20000, val_interval=2000)
starts_from = "clip_rc/context60_inductive/iter_20000.pth"  # weights alone
