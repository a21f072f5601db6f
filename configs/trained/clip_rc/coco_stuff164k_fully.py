"""Fully supervised COCO-Stuff164k: all classes have labels; S and U are of the usual split."""

_base_ = "./_base_/data_coco_stuff164k.py"

model = dict(setting="fully", loss_weights=dict(mask=100.0, dice=1.5, recovery=1.0))

train_pipeline = _base_.train_pipeline
del train_pipeline[2]  # SuppressLabels
train_dataloader = dict(dataset=dict(zero_shot=False, pipeline=train_pipeline))

train_cfg = dict(max_iters=80000, val_interval=8000)
