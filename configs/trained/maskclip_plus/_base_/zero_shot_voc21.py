"""Zero-shot PASCAL VOC 2012 with background, which gets a vector that is learnt; otherwise as without."""

_base_ = "./zero_shot_voc20.py"

model = dict(background=True)

train_dataloader = dict(dataset=dict(type="PascalVOCDataset"))
test_dataloader = dict(dataset=dict(type="PascalVOCDataset"))
val_dataloader = test_dataloader
