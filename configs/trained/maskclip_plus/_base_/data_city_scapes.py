"""Cityscapes, 19 classes. Training: 2975 images, crops of 512 x 1024."""

_base_ = "./runtime.py"

model = dict(
    name_path="./configs/corrected/cls_city_scapes.txt",
    data_preprocessor=dict(size=(512, 1024)),
)

train_pipeline = _base_.train_pipeline
train_pipeline[3]["scale"] = (2048, 1024)  # RandomResize
train_pipeline[4]["crop_size"] = (512, 1024)
test_pipeline = _base_.test_pipeline
test_pipeline[1]["scale"] = (1024, 512)

city = dict(type="CityscapesDataset", data_root="{{$DATA_ROOT:data}}/cityscapes")
train_dataloader = dict(
    dataset=dict(
        **city, data_prefix=dict(img_path="leftImg8bit/train", seg_map_path="gtFine/train"), pipeline=train_pipeline
    )
)
test_dataloader = dict(
    dataset=dict(
        **city, data_prefix=dict(img_path="leftImg8bit/val", seg_map_path="gtFine/val"), pipeline=test_pipeline
    )
)
val_dataloader = test_dataloader
