"""PASCAL VOC 2012 val, 20 classes and background: 1449 images."""

_base_ = "./base_config.py"

model = dict(name_path="./configs/cls_voc21.txt", prob_thd=0.2)

test_dataloader = dict(
    dataset=dict(
        type="PascalVOCDataset",
        data_root="{{$DATA_ROOT:data}}/VOCdevkit/VOC2012",
        ann_file="ImageSets/Segmentation/val.txt",
        data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
    )
)
