"""Cityscapes val, 19 classes: 500 images."""

_base_ = "./base_config.py"

model = dict(name_path="./configs/cls_city_scapes.txt", slide_stride=112, slide_crop=224)

test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (2048, 448)

test_dataloader = dict(
    dataset=dict(
        type="CityscapesDataset",
        data_root="{{$DATA_ROOT:data}}/cityscapes",
        data_prefix=dict(img_path="leftImg8bit/val", seg_map_path="gtFine/val"),
        pipeline=test_pipeline,
    )
)
