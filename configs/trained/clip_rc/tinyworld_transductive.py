"""Transductive zero-shot segmentation of the tiny world: of 5 classes the training knows only where they are.

Half the learning rate of the inductive training: with all of it, what that has learnt is lost first.
"""

_base_ = "./_base_/data_tinyworld.py"

model = dict(setting="transductive")
train_cfg = dict(max_iters=600, val_interval=300)  # which says when to save, too
optim_wrapper = dict(optimizer=dict(lr=1e-3))
starts_from = "clip_rc/tinyworld_inductive/iter_600.pth"  # weights alone
