"""PASCAL Context, 59 classes; background is ignored. Training: 4996 images, crops of 480 x 480."""

_base_ = ["./runtime.py", "../../_base_/context.py"]

model = dict(
    name_path="./configs/trained/maskclip_plus/cls_context59.txt",
    data_preprocessor=dict(size=(480, 480)),
)

train_pipeline = _base_.train_pipeline
train_pipeline[3]["scale"] = (520, 520)  # RandomResize
train_pipeline[4]["crop_size"] = (480, 480)
test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (520, 520)

train_dataloader = dict(dataset=dict(type="PascalContext59Dataset", **_base_.files.train, pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(type="PascalContext59Dataset", **_base_.files.test, pipeline=test_pipeline))
val_dataloader = test_dataloader
