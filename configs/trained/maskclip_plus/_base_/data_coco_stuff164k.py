"""COCO-Stuff164k, 171 classes. Training: train2017, 118287 images."""

_base_ = "./runtime.py"

model = dict(name_path="./configs/trained/maskclip_plus/cls_coco_stuff.txt")

coco = dict(type="COCOStuffDataset", data_root="{{$DATA_ROOT:data}}/coco_stuff164k")
train_dataloader = dict(
    dataset=dict(**coco, data_prefix=dict(img_path="images/train2017", seg_map_path="annotations/train2017"))
)
test_dataloader = dict(
    dataset=dict(**coco, data_prefix=dict(img_path="images/val2017", seg_map_path="annotations/val2017"))
)
val_dataloader = test_dataloader
