"""ADE20K validation, 150 classes, in ClearCLIP's protocol (arXiv 2407.12442)."""

_base_ = ["../cfg_ade20k.py", "./protocol.py"]

model = _base_.protocol
