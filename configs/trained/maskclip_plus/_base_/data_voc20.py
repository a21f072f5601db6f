"""PASCAL VOC 2012, 20 classes; background is ignored. Training: trainaug, 10582 images; see docs/training.md."""

_base_ = "./runtime.py"

model = dict(name_path="./configs/trained/maskclip_plus/cls_voc20.txt")

voc = dict(type="PascalVOC20Dataset", data_root="{{$DATA_ROOT:data}}/VOCdevkit/VOC2012")
train_dataloader = dict(
    dataset=dict(
        **voc,
        ann_file="ImageSets/Segmentation/trainaug.txt",
        data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClassAug"),
    )
)
test_dataloader = dict(
    dataset=dict(
        **voc,
        ann_file="ImageSets/Segmentation/val.txt",
        data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
    )
)
val_dataloader = test_dataloader
