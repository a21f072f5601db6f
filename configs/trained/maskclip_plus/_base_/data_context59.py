"""PASCAL Context, 59 classes; background is ignored. Training: 4996 images, crops of 480 x 480."""

_base_ = "./runtime.py"

model = dict(
    name_path="./configs/trained/maskclip_plus/cls_context59.txt",
    data_preprocessor=dict(size=(480, 480)),
)

train_pipeline = _base_.train_pipeline
train_pipeline[3]["scale"] = (520, 520)  # RandomResize
train_pipeline[4]["crop_size"] = (480, 480)
test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (520, 520)

context = dict(
    type="PascalContext59Dataset",
    data_root="{{$DATA_ROOT:data}}/VOCdevkit/VOC2010",
    data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClassContext"),
)
train_dataloader = dict(
    dataset=dict(**context, ann_file="ImageSets/SegmentationContext/train.txt", pipeline=train_pipeline)
)
test_dataloader = dict(
    dataset=dict(**context, ann_file="ImageSets/SegmentationContext/val.txt", pipeline=test_pipeline)
)
val_dataloader = test_dataloader
