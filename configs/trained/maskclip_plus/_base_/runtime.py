"""What all of MaskCLIP+ (arXiv 2112.01071) shares: teacher, preparation of images, loop, hooks, metric.

4 images a GPU; the published runs had 4 GPUs, so 16 images a step.
"""

_base_ = "../../_base_/runtime.py"

custom_imports = dict(imports=["proxyclip.engine.training", "proxyclip.models.trained.maskclip_plus"])

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
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_dataloader = test_dataloader

# Without annotations the teacher guides to the end; zero_shot_*.py hand over to the student itself.
custom_hooks = [dict(type="StageHook", guided=(1, -1), self_training=None), dict(type="VocabularyCheckHook")]
