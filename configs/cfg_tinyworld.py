"""The embedded default: drawn scenes with exact label maps and tiny weights, no download, minutes on a CPU."""

_base_ = "./base_config.py"

model = dict(
    name_path="./configs/cls_tinyworld.txt",
    clip_type=None,
    model_type="local-dir:proxyclip/tinyworld/weights/clip",
    vfm_model=dict(type="tiny"),
    slide_stride=48,
    slide_crop=96,
    precision="fp32",
)

test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (2048, 192)

test_dataloader = dict(
    dataset=dict(
        type="TinyWorldDataset",
        data_root="{{$DATA_ROOT:data}}/tinyworld",
        count=500,
        seed=2,
        ann_file="ImageSets/Segmentation/val.txt",
        data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
        pipeline=test_pipeline,
    ),
)
