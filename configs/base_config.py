"""What all evaluations share: ProxyCLIP on OpenAI's ViT-B/16 with DINO ViT-B/8, mmseg's test loop, mean IoU.

Data are looked for below the folder `data`, or wherever the environment variable DATA_ROOT says.
"""

default_scope = "mmseg"

model = dict(
    type="ProxyCLIPSegmentation",
    clip_type="openai",
    model_type="ViT-B/16",
    vfm_model=dict(type="dino"),
    checkpoint=None,
    attention=dict(type="proxy"),
    name_path=None,
    prob_thd=0.0,
    logit_scale=40,
    beta=1.2,
    gamma=3.0,
    slide_stride=112,
    slide_crop=336,
    precision="auto",
)

# Masks are read after the resize, so that labels keep the original size. EXIF orientation is ignored, as masks know none.
test_pipeline = [
    dict(type="LoadImageFromFile", color_type="color_ignore_orientation"),
    dict(type="Resize", scale=(2048, 336), keep_ratio=True),
    dict(type="MyLoadAnnotations"),
    dict(type="PackSegInputs"),
]
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(test_mode=True, pipeline=test_pipeline),
)
test_evaluator = dict(type="SegMetric")
test_cfg = dict(type="TestLoop")

model_wrapper_cfg = dict(type="EvalOnly")
custom_hooks = [dict(type="VocabularyCheckHook")]
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0))
randomness = dict(seed=0)
log_level = "INFO"
load_from = None
