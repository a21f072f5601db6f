"""ADE20K validation, 150 classes, in GLA-CLIP's protocol (arXiv 2603.23030)."""

_base_ = ["../cfg_ade20k.py", "./protocol.py"]

model = _base_.protocol
