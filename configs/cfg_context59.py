"""PASCAL Context val, 59 classes; background is ignored: 5104 images."""

_base_ = "./base_config.py"

model = dict(name_path="./configs/cls_context59.txt")

test_dataloader = dict(
    dataset=dict(
        type="PascalContext59Dataset",
        data_root="{{$DATA_ROOT:data}}/VOCdevkit/VOC2010",
        ann_file="ImageSets/SegmentationContext/val.txt",
        data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClassContext"),
    )
)
