"""COCO-Stuff10k test2014, 171 classes: 1000 images.

The published code has no config of it; the numbers are those of COCO-Stuff164k.
"""

_base_ = "./base_config.py"

model = dict(name_path="./configs/cls_coco_stuff.txt")

test_dataloader = dict(
    dataset=dict(
        type="COCOStuff10kDataset",
        data_root="{{$DATA_ROOT:data}}/coco_stuff10k",
        data_prefix=dict(img_path="images/test2014", seg_map_path="annotations/test2014"),
    )
)
