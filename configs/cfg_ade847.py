"""ADE20K validation, 847 classes in 16-bit TIFF, 65535 ignored: 2000 images.

The folder is listed: the usual preparation does not write the validation.txt of the published config.
"""

_base_ = "./base_config.py"

model = dict(name_path="./configs/cls_ade20k847.txt")

test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (2048, 448)

test_dataloader = dict(
    dataset=dict(
        type="ADE20K847Dataset",
        data_root="{{$DATA_ROOT:data}}/ADE20K_2021_17_01",
        data_prefix=dict(img_path="images_detectron2/validation", seg_map_path="annotations_detectron2/validation"),
        pipeline=test_pipeline,
    )
)
