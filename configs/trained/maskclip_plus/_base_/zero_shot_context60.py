"""Zero-shot PASCAL Context with background: 10 classes have no labels and are learnt from teacher and student.

40000 iterations, the first tenth of them guided by the teacher.
"""

_base_ = "./data_context59.py"

model = dict(background=True)  # its vector is learnt

train_pipeline = _base_.train_pipeline
train_pipeline[2]["which"] = "unseen"  # SuppressLabels
train_dataloader = dict(dataset=dict(type="PascalContext60Dataset", zero_shot=True, pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(type="PascalContext60Dataset", zero_shot=True))
val_dataloader = test_dataloader

train_cfg = dict(max_iters=40000, val_interval=4000)
custom_hooks = [
    dict(type="StageHook", guided=(1, 3999), self_training=(4000, -1)),
    dict(type="VocabularyCheckHook"),
]
