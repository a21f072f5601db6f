"""What all of MaskCLIP+ (arXiv 2112.01071) shares: teacher, preparation of images, loop, hooks, metric.

4 images a GPU; the published runs had 4 GPUs, so 16 images a step.
"""

default_scope = "mmseg"
custom_imports = dict(imports=["proxyclip.trained.maskclip_plus"])

# The student stands in student_*.py, the vocabulary in data_*.py.
model = dict(
    type="MaskCLIPPlus",
    teacher=dict(model_type="ViT-B-16", clip_type="openai", residual=True),
    parity="paper",
    key_smoothing=0.0,
    prompt_denoising=0.0,
    class_weight=None,
    precision="fp32",
    # To the size of the crop; mean and deviation are the model's own.
    data_preprocessor=dict(size=(512, 512), pad_val=0, seg_pad_val=255),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="MyLoadAnnotations"),
    dict(type="SuppressLabels", which="all"),
    dict(type="RandomResize", scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=(512, 512), cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs", meta_keys=("img_path", "ori_shape", "img_shape", "suppressed")),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(2048, 512), keep_ratio=True),
    # After Resize, so that labels keep the original size.
    dict(type="MyLoadAnnotations"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="SeededSampler", shuffle=True),
    dataset=dict(pipeline=train_pipeline),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(test_mode=True, pipeline=test_pipeline),
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
# Without annotations the teacher guides to the end; zero_shot_*.py hand over to the student itself.
custom_hooks = [dict(type="StageHook", guided=(1, -1), self_training=None), dict(type="VocabularyCheckHook")]
launcher = "none"
randomness = dict(seed=0)
log_level = "INFO"
load_from = None
resume = False
