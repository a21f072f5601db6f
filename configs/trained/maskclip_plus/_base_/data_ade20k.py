"""ADE20K, 150 classes; raw 0 (other) is ignored. Training: 20210 images."""

_base_ = "./runtime.py"

model = dict(name_path="./configs/corrected/cls_ade20k.txt")

ade = dict(type="ADE20KDataset", data_root="{{$DATA_ROOT:data}}/ade/ADEChallengeData2016")
train_dataloader = dict(
    dataset=dict(**ade, data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"))
)
test_dataloader = dict(
    dataset=dict(**ade, data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"))
)
val_dataloader = test_dataloader
