"""Zero-shot PASCAL VOC 2012 without background: 5 classes have no labels and are learnt from teacher and student.

20000 iterations, the first tenth of them guided by the teacher.
"""

_base_ = "./data_voc20.py"

train_pipeline = _base_.train_pipeline
train_pipeline[2]["which"] = "unseen"  # SuppressLabels
train_dataloader = dict(dataset=dict(zero_shot=True, pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(zero_shot=True))
val_dataloader = test_dataloader

train_cfg = dict(max_iters=20000, val_interval=2000)
custom_hooks = [
    dict(type="StageHook", guided=(1, 1999), self_training=(2000, -1)),
    dict(type="VocabularyCheckHook"),
]
