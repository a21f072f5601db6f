"""What all evaluations share: model, test pipeline, loader, metric, hooks. Data set configs build on it.

Numbers are those of ProxyCLIP (arXiv 2408.04883). Data are looked for below the folder `data`, or wherever the
environment variable DATA_ROOT says.
"""

default_scope = "mmseg"

model = dict(
    type="ProxyCLIPSegmentation",
    clip_type="openai",
    model_type="ViT-B/16",
    vfm_model=dict(type="dino"),
    checkpoint=None,
    attention=dict(type="proxy"),
    precision="auto",
    name_path=None,
    prob_thd=0.0,
    logit_scale=40,
    beta=1.2,
    gamma=3.0,
    slide_stride=112,
    slide_crop=336,
    approximate=dict(vfm="window", stride=None),  # nothing is; docs/speed.md
)

test_pipeline = [
    # Label maps are never turned by an EXIF tag, so images must not be either; without a tag nothing changes.
    dict(type="LoadImageFromFile", color_type="color_ignore_orientation"),
    dict(type="Resize", scale=(2048, 336), keep_ratio=True),
    # After Resize, so that labels keep the original size.
    dict(type="MyLoadAnnotations"),
    dict(type="PackSegInputs"),
]

test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(test_mode=True, pipeline=test_pipeline),
)
test_evaluator = dict(type="SegMetric", iou_metrics=["mIoU"])
test_cfg = dict(type="TestLoop")

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    param_scheduler=None,
    checkpoint=None,
)
custom_hooks = [dict(type="VocabularyCheckHook")]
model_wrapper_cfg = dict(type="EvalOnly")
launcher = "none"
randomness = dict(seed=0)
log_level = "INFO"
load_from = None
resume = False
