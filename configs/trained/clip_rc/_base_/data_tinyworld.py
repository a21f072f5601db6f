"""The embedded tiny world: 1000 drawn scenes to train on, the 500 of configs/cfg_tinyworld.py to be tested on.

Crops and windows are 96 x 96, the size that its tiny CLIP knows. Things are small there and minutes are few: a decoder
of one layer learns faster, and the dice loss, which small things are as much for as large ones, weighs more.
"""

_base_ = ["./runtime.py", "../../_base_/tinyworld.py"]

model = dict(
    model_type="local-dir:proxyclip/tinyworld/weights/clip",
    clip_type=None,
    name_path="./configs/trained/maskclip_plus/cls_tinyworld.txt",
    regions=9,
    decoder=dict(layers=1, hidden=512),
    loss_weights=dict(dice=50.0),
    slide_crop=96,
    slide_stride=48,
    data_preprocessor=dict(size=(96, 96)),
)

train_pipeline = _base_.train_pipeline
train_pipeline[3].update(scale=(2048, 192), ratio_range=(0.75, 1.5))  # RandomResize
train_pipeline[4]["crop_size"] = (96, 96)
del train_pipeline[6]  # PhotoMetricDistortion: things are known by their colours here
test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = 192

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(**_base_.files.train, pipeline=train_pipeline),
)
test_dataloader = dict(dataset=dict(**_base_.files.test, pipeline=test_pipeline))
val_dataloader, val_cfg, val_evaluator = None, None, None

optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [dict(type="WarmupPolyLR", by_epoch=False, power=0.9, eta_min=1e-6, warmup=50)]
