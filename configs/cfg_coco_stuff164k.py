"""COCO-Stuff164k val2017, 171 classes: 5000 images."""

_base_ = "./base_config.py"

model = dict(name_path="./configs/cls_coco_stuff.txt")

test_dataloader = dict(
    dataset=dict(
        type="COCOStuffDataset",
        data_root="{{$DATA_ROOT:data}}/coco_stuff164k",
        data_prefix=dict(img_path="images/val2017", seg_map_path="annotations/val2017"),
    )
)
