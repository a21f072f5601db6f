"""PASCAL VOC 2012 val, 20 classes and background, in SC-CLIP's protocol (arXiv 2411.15869)."""

_base_ = ["../cfg_voc21.py", "./protocol.py"]

model = dict(
    _base_.protocol,
    name_path="./configs/sclip/cls_voc21.txt",
    prob_thd=0.15,
    logit_scale=50,
    refine=[dict(type="area", threshold=0.1)],
)
