"""The embedded tiny world: 500 drawn scenes, 19 classes, tiny CLIP and VFM from this repository. Runs offline."""

_base_ = "./base_config.py"

model = dict(
    clip_type=None,
    model_type="local-dir:proxyclip/tinyworld/weights/clip",
    vfm_model=dict(model="local-dir:proxyclip/tinyworld/weights/vfm"),
    name_path="./configs/cls_tinyworld.txt",
    slide_crop=128,
    slide_stride=64,
    precision="fp32",
)
test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (2048, 192)
test_dataloader = dict(
    dataset=dict(
        type="TinyWorldDataset",
        data_root="{{$DATA_ROOT:data}}/tinyworld",
        data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
        ann_file="ImageSets/Segmentation/val.txt",
        count=500,
        seed=1,
        pipeline=test_pipeline,
    )
)
