"""A small DeepLabv3+ learns the tiny world from its CLIP, without annotations; settings are the SegFormer's."""

_base_ = "./tinyworld_segformer.py"

model = dict(student=dict(type="deeplab_tiny"))
