"""Files of PASCAL VOC 2012. Training: trainaug, 10582 images; see docs/training.md."""

voc = dict(data_root="{{$DATA_ROOT:data}}/VOCdevkit/VOC2012")
files = dict(
    train=dict(
        **voc,
        ann_file="ImageSets/Segmentation/trainaug.txt",
        data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClassAug"),
    ),
    test=dict(
        **voc,
        ann_file="ImageSets/Segmentation/val.txt",
        data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
    ),
)
