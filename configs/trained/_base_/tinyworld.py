"""The embedded tiny world: 1000 drawn scenes to train on, the 500 of configs/cfg_tinyworld.py to be tested on."""

tinyworld = dict(
    type="TinyWorldDataset",
    ann_file="ImageSets/Segmentation/val.txt",
    data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
)
files = dict(
    train=dict(**tinyworld, data_root="{{$DATA_ROOT:data}}/tinyworld_train", count=1000, seed=3),
    test=dict(**tinyworld, data_root="{{$DATA_ROOT:data}}/tinyworld", count=500, seed=2),
)
