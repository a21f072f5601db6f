"""Parameter and MAC counts of MaskCLIP+, its student and its teacher."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from open_clip.utils import to_2tuple

from proxyclip.models.clip.loading import get_clip_config
from proxyclip.models.trained.flops import (
    ImageShape,
    ModelPart,
    ModelSizes,
    build_clip_without_weights,
    count_macs,
    get_text_tower_part,
)
from proxyclip.models.trained.maskclip_plus.class_weight import compute_class_weights


def measure_maskclip_plus(model: Any, shape: ImageShape) -> ModelSizes:
    """Count parameters and MACs of a MaskCLIPPlus for one image, on fake tensors.

    Raises:
        ValueError: the student cannot take such an image.
    """
    return ModelSizes(1, shape, _iter_maskclip_plus_parts(model, shape))


def _iter_maskclip_plus_parts(model: Any, shape: ImageShape) -> Iterator[ModelPart]:
    image = torch.zeros(1, 3, *shape)
    guide = model.guide
    try:
        backbone = count_macs(model.backbone, image)
        head = count_macs(model.encode_decode, image) - backbone
    except RuntimeError as error:
        raise ValueError(f"The student cannot take an image of {shape[0]} x {shape[1]}: {error}") from error
    yield ModelPart("backbone", [*model.backbone.parameters()], backbone)
    yield ModelPart("decode head", [*model.decode_head.parameters()], head)
    if guide.weight_spec is not None:
        name = guide.weight_spec.get("model_type", "ViT-B-16")
        weight_clip = build_clip_without_weights(name)
        clip_image = torch.zeros(1, 3, *to_2tuple(get_clip_config(name)["vision_cfg"]["image_size"]))
        text = torch.zeros_like(model.text)
        macs = count_macs(lambda: compute_class_weights(weight_clip.encode_image(clip_image), text, 1.0))
        yield ModelPart("class weight", [*weight_clip.visual.parameters()], macs)
    clip = build_clip_without_weights(guide.spec["model_type"])
    yield ModelPart("teacher", [*clip.visual.parameters()], None)
    yield get_text_tower_part(clip)
