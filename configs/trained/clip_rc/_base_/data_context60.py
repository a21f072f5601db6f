"""PASCAL Context, 59 classes and background, which is a class that is seen. Training: 4996 images.

The paper names the data set, but no configuration of it was published: the settings are VOC's.
"""

_base_ = ["./runtime.py", "../../_base_/context.py"]

model = dict(name_path="./configs/cls_context60.txt")

train_dataloader = dict(dataset=dict(type="PascalContext60Dataset", **_base_.files.train))
test_dataloader = dict(dataset=dict(type="PascalContext60Dataset", **_base_.files.test))
val_dataloader = test_dataloader
