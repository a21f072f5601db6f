"""COCO-Stuff164k, 171 classes. Training: train2017, 118287 images.

2 images a process; how many processes the published runs had is not recorded.
"""

_base_ = ["./runtime.py", "../../_base_/coco_stuff164k.py"]

model = dict(
    name_path="./configs/trained/clip_rc/cls_coco_stuff.txt",
    templates=[
        "a photo of a {}.",
        "a photo of a small {}.",
        "a photo of a medium {}.",
        "a photo of a large {}.",
        "This is a photo of a {}.",
        "This is a photo of a small {}.",
        "This is a photo of a medium {}.",
        "This is a photo of a large {}.",
        "a {} in the scene.",
        "a photo of a {} in the scene.",
        "There is a {} in the scene.",
        "There is the {} in the scene.",
        "This is a {} in the scene.",
        "This is the {} in the scene.",
        "This is one {} in the scene.",
    ],
    prompts=100,
    loss_weights=dict(mask=200.0, dice=3.0, recovery=50.0),
)

train_dataloader = dict(batch_size=2, dataset=_base_.files.train)
test_dataloader = dict(dataset=_base_.files.test)
val_dataloader = test_dataloader
