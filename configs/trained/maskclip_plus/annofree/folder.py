"""Pictures of your own without any annotation: DIR/images and DIR/classes.txt, trained by

    python train.py configs/trained/maskclip_plus/annofree/folder.py --data-root DIR --no-eval

classes.txt has one name a line, no synonyms. DeepLabv2-R101, 300 iterations, as the paper's code has for web images. An
evaluation, for which --no-eval is left out, wants DIR/masks as well; configs/cfg_folder.py says what is in them.
"""

_base_ = ["../_base_/runtime.py", "../_base_/student_deeplabv2_r101.py"]

model = dict(student=_base_.student, name_path="{{$DATA_ROOT:data/folder}}/classes.txt")

folder = dict(type="FolderDataset", data_root="{{$DATA_ROOT:data/folder}}", classes="classes.txt")
train_dataloader = dict(
    dataset=dict(
        **folder,
        data_prefix=dict(img_path="images"),
        pipeline=[step for step in _base_.train_pipeline if step["type"] != "MyLoadAnnotations"],
    )
)
test_dataloader = dict(dataset=dict(**folder, data_prefix=dict(img_path="images", seg_map_path="masks")))
val_dataloader, val_cfg, val_evaluator = None, None, None

train_cfg = dict(max_iters=300, val_interval=300)  # which says when to save, too
