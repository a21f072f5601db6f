"""Zero-shot on the tiny world: a small SegFormer sees the labels of 14 classes, and learns the other 5 from its CLIP.

The first tenth of the training is guided by the teacher; then the student labels the unseen classes itself.
"""

_base_ = "./tinyworld_segformer.py"

train_pipeline = _base_.train_pipeline
train_pipeline[2]["which"] = "unseen"  # SuppressLabels
train_dataloader = dict(dataset=dict(zero_shot=True, pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(zero_shot=True))

custom_hooks = [dict(type="StageHook", guided=(1, 160), self_training=(161, -1)), dict(type="VocabularyCheckHook")]
