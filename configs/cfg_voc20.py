"""PASCAL VOC 2012 val, 20 classes; background is ignored: 1449 images."""

_base_ = "./base_config.py"

model = dict(name_path="./configs/cls_voc20.txt")

test_dataloader = dict(
    dataset=dict(
        type="PascalVOC20Dataset",
        data_root="{{$DATA_ROOT:data}}/VOCdevkit/VOC2012",
        ann_file="ImageSets/Segmentation/val.txt",
        data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
    )
)
