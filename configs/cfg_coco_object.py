"""COCO val2017, 80 things and background: 5000 images. Label maps by datasets/prepare_coco_object.py."""

_base_ = "./base_config.py"

model = dict(name_path="./configs/cls_coco_object.txt", prob_thd=0.25)

test_dataloader = dict(
    dataset=dict(
        type="COCOObjectDataset",
        data_root="{{$DATA_ROOT:data}}/coco_object",
        data_prefix=dict(img_path="images/val2017", seg_map_path="annotations/val2017"),
    )
)
