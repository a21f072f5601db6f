"""ADE20K validation, 847 classes, 16-bit labels: 2000 images, short side 448."""

_base_ = "./base_config.py"

model = dict(name_path="./configs/cls_ade20k847.txt")
test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (2048, 448)
test_pipeline[2]["ignore_index"] = 65535
test_dataloader = dict(
    dataset=dict(
        type="ADE20K847Dataset",
        data_root="{{$DATA_ROOT:data}}/ADE20K_2021_17_01",
        data_prefix=dict(img_path="images_detectron2/validation", seg_map_path="annotations_detectron2/validation"),
        ann_file="validation.txt",
        pipeline=test_pipeline,
    )
)
test_evaluator = dict(ignore_index=65535)
