"""COCO-Stuff164k, 171 classes. Training: train2017, 118287 images."""

_base_ = ["./runtime.py", "../../_base_/coco_stuff164k.py"]

model = dict(name_path="./configs/trained/maskclip_plus/cls_coco_stuff.txt")

train_dataloader = dict(dataset=_base_.files.train)
test_dataloader = dict(dataset=_base_.files.test)
val_dataloader = test_dataloader
