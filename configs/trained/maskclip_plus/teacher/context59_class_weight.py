"""MaskCLIP alone on PASCAL Context, its scores weighted by what CLIP says of the whole picture.

Of a later fork. `tau` is 1 with a ViT-B/16 as teacher; with a ResNet-50 say model.class_weight.tau=0.25.
"""

_base_ = "./context59.py"

model = dict(class_weight=dict(_delete_=True, tau=1.0, model_type="ViT-B-16", clip_type="openai"))
