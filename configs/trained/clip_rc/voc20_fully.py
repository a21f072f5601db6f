"""Fully supervised PASCAL VOC 2012: all classes have labels; S and U are of the usual split."""

_base_ = "./_base_/data_voc20.py"

model = dict(setting="fully", loss_weights=dict(recovery=0.0))

train_pipeline = _base_.train_pipeline
del train_pipeline[2]  # SuppressLabels
train_dataloader = dict(dataset=dict(zero_shot=False, pipeline=train_pipeline))

train_cfg = dict(max_iters=40000, val_interval=4000)
