"""Fully supervised segmentation of the tiny world: all classes have labels; S and U are of the same split."""

_base_ = "./_base_/data_tinyworld.py"

model = dict(setting="fully")

train_pipeline = _base_.train_pipeline
del train_pipeline[2]  # SuppressLabels
train_dataloader = dict(dataset=dict(zero_shot=False, pipeline=train_pipeline))

train_cfg = dict(max_iters=1200, val_interval=600)  # which says when to save, too
