"""SegFormer on MiT-b0, and the optimiser and schedule of a later fork: the head ten times as fast.

Norms of the backbone have no weight decay; all of the head has, its norms too.
"""

student = dict(type="segformer_b0")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2.4e-5, betas=(0.9, 0.999), weight_decay=0.004),
    paramwise_cfg=dict(custom_keys={"norm": dict(decay_mult=0.0), "decode_head": dict(lr_mult=10.0)}),
)
param_scheduler = [dict(type="WarmupPolyLR", by_epoch=False, power=1.0, eta_min=0.0, warmup=1500)]
