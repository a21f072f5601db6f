"""ADE20K validation, 150 classes: 2000 images."""

_base_ = "./base_config.py"

model = dict(name_path="./configs/cls_ade20k.txt")

test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (2048, 448)

test_dataloader = dict(
    dataset=dict(
        type="ADE20KDataset",
        data_root="{{$DATA_ROOT:data}}/ade/ADEChallengeData2016",
        data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"),
        pipeline=test_pipeline,
    )
)
