"""A small SegFormer learns the tiny world from its CLIP, without annotations: minutes on two CPU cores."""

_base_ = "./_base_/data_tinyworld.py"

model = dict(student=dict(type="segformer_tiny"))

train_cfg = dict(max_iters=1600, val_interval=400)  # which says when to save, too
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-3, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(custom_keys={"norm": dict(decay_mult=0.0)}),
)
param_scheduler = [dict(type="WarmupPolyLR", by_epoch=False, power=1.0, eta_min=0.0, warmup=50)]
