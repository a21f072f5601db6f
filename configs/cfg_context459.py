"""PASCAL Context val, 459 classes in 16-bit TIFF: 5104 images."""

_base_ = "./base_config.py"

model = dict(name_path="./configs/cls_context459.txt")

test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (2048, 448)

test_dataloader = dict(
    dataset=dict(
        type="PascalContext459Dataset",
        data_root="{{$DATA_ROOT:data}}/VOCdevkit/VOC2010",
        ann_file="ImageSets/SegmentationContext/val.txt",
        data_prefix=dict(img_path="JPEGImages", seg_map_path="annotations_detectron2/pc459_val"),
        pipeline=test_pipeline,
    )
)
