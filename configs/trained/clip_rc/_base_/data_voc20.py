"""PASCAL VOC 2012, 20 classes; background is ignored. Training: trainaug, 10582 images; see docs/training.md.

8 images a process; the documented run of the published code has 2 processes, so 16 images a step.
"""

_base_ = ["./runtime.py", "../../_base_/voc.py"]

model = dict(name_path="./configs/trained/clip_rc/cls_voc20.txt")

train_dataloader = dict(dataset=dict(type="PascalVOC20Dataset", **_base_.files.train))
test_dataloader = dict(dataset=dict(type="PascalVOC20Dataset", **_base_.files.test))
val_dataloader = test_dataloader
