"""Zero-shot COCO-Stuff164k: 15 classes have no labels and are learnt from teacher and student.

80000 iterations, the first tenth of them guided by the teacher.
"""

_base_ = "./data_coco_stuff164k.py"

train_pipeline = _base_.train_pipeline
train_pipeline[2]["which"] = "unseen"  # SuppressLabels
train_dataloader = dict(dataset=dict(zero_shot=True, pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(zero_shot=True))
val_dataloader = test_dataloader

train_cfg = dict(max_iters=80000, val_interval=8000)
custom_hooks = [
    dict(type="StageHook", guided=(1, 7999), self_training=(8000, -1)),
    dict(type="VocabularyCheckHook"),
]
