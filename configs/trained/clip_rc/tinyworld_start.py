"""What a training on the tiny world starts from: frozen CLIP, first prompts and decoder. Its one step moves nothing."""

_base_ = "./tinyworld_inductive.py"

train_cfg = dict(max_iters=1, val_interval=1)
default_hooks = dict(checkpoint=dict(keep=()))
optim_wrapper = dict(optimizer=dict(lr=0.0))
param_scheduler = None
