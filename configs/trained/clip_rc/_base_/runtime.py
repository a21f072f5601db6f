"""What all of CLIP-RC (Zhang et al., CVPR 2024) shares: model, preparation of images, optimiser, loop, hooks, metric.

As it is here: VOC's settings, labels of the unseen classes hidden. data_*.py and the three configs of a data set say
what differs. "upstream" is the published code as it ran, quirks and all; docs/clip_rc.md has the list.
"""

_base_ = "../../_base_/runtime.py"

custom_imports = dict(imports=["proxyclip.engine.training", "proxyclip.models.trained.clip_rc"])

# The vocabulary stands in data_*.py.
model = dict(
    type="CLIPRC",
    model_type="ViT-B-16",
    clip_type="openai",
    templates=["a photo of a {}"],
    setting="inductive",
    prompts=10,
    regions=16,
    decoder=dict(layers=3, heads=8, hidden=2048, dropout=0.1),
    loss_weights=dict(mask=100.0, dice=1.0, recovery=2.0),
    slide_crop=512,
    slide_stride=426,
    seen_bias=0.1,
    parity="upstream",
    checkpoint=None,
    precision="fp32",
    # To the size of the crop; mean and deviation are the model's own.
    data_preprocessor=dict(size=(512, 512), pad_val=0, seg_pad_val=255),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="MyLoadAnnotations"),
    dict(type="SuppressLabels", which="unseen"),
    dict(type="RandomResize", scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=(512, 512), cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs", meta_keys=("img_path", "ori_shape", "img_shape")),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="ResizeShortestEdge", scale=512, max_size=10**9),  # the long side is not limited
    # After the resize, so that labels keep the original size.
    dict(type="MyLoadAnnotations"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(batch_size=8, dataset=dict(zero_shot=True, pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(zero_shot=True, pipeline=test_pipeline))
val_dataloader = test_dataloader

optim_wrapper = dict(
    type="OptimWrapper",
    constructor="ParityOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=2e-4, betas=(0.9, 0.999), weight_decay=0.01),
)
param_scheduler = [dict(type="WarmupPolyLR", by_epoch=False, power=0.9, eta_min=1e-6, warmup=1500)]
custom_hooks = [dict(type="SplitHook"), dict(type="VocabularyCheckHook")]
