"""Annotation-free PASCAL Context, DeepLabv2-R101, whose logits are weighted by what CLIP says of the whole picture.

Of a later fork. `tau` is 1 with a ViT-B/16 as teacher; with a ResNet-50 say model.class_weight.tau=0.25.
"""

_base_ = "./context59_deeplabv2_r101.py"

model = dict(class_weight=dict(_delete_=True, tau=1.0, model_type="ViT-B-16", clip_type="openai"))
