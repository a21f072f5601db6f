"""What all trainings share: loaders, loops, hooks, metric. A method's own runtime.py adds model and pipelines."""

default_scope = "mmseg"

train_dataloader = dict(
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="SeededSampler", shuffle=True),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(test_mode=True),
)
val_dataloader = test_dataloader
test_evaluator = dict(type="SegMetric", iou_metrics=["mIoU"])
val_evaluator = test_evaluator

train_cfg = dict(type="SeededTrainLoop")  # max_iters and val_interval: in each config
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", by_epoch=False),  # as often as there is an evaluation, see train_cfg
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
launcher = "none"
randomness = dict(seed=0)
log_level = "INFO"
load_from = None
resume = False
