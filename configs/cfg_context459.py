"""PASCAL Context val, 459 classes, 16-bit labels: 5104 images, short side 448."""

_base_ = "./base_config.py"

model = dict(name_path="./configs/cls_context459.txt")
test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (2048, 448)
test_pipeline[2]["ignore_index"] = 65535
test_dataloader = dict(
    dataset=dict(
        type="PascalContext459Dataset",
        data_root="{{$DATA_ROOT:data}}/VOCdevkit/VOC2010",
        data_prefix=dict(img_path="JPEGImages", seg_map_path="annotations_detectron2/pc459_val"),
        ann_file="ImageSets/SegmentationContext/val.txt",
        pipeline=test_pipeline,
    )
)
test_evaluator = dict(ignore_index=65535)
