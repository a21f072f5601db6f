"""The embedded tiny world: 1000 drawn scenes to train on, the 500 of configs/cfg_tinyworld.py to be tested on.

The teacher is its tiny CLIP without the residual of the last block, which that was not trained for. Crops are 96 x 96,
the size that the tiny CLIP knows; the test is on whole images.
"""

_base_ = ["./runtime.py", "../../_base_/tinyworld.py"]

model = dict(
    teacher=dict(model_type="local-dir:proxyclip/tinyworld/weights/clip", clip_type=None, residual=False),
    name_path="./configs/trained/maskclip_plus/cls_tinyworld.txt",
    data_preprocessor=dict(size=(96, 96)),
)

train_pipeline = _base_.train_pipeline
train_pipeline[3].update(scale=(2048, 192), ratio_range=(0.75, 1.5))  # RandomResize
train_pipeline[4]["crop_size"] = (96, 96)
del train_pipeline[6]  # PhotoMetricDistortion: things are known by their colours here
test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (2048, 192)

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(**_base_.files.train, pipeline=train_pipeline),
)
test_dataloader = dict(dataset=dict(**_base_.files.test, pipeline=test_pipeline))
val_dataloader, val_cfg, val_evaluator = None, None, None
