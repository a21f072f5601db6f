"""Files of PASCAL Context. Training: 4996 images."""

context = dict(
    data_root="{{$DATA_ROOT:data}}/VOCdevkit/VOC2010",
    data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClassContext"),
)
files = dict(
    train=dict(**context, ann_file="ImageSets/SegmentationContext/train.txt"),
    test=dict(**context, ann_file="ImageSets/SegmentationContext/val.txt"),
)
