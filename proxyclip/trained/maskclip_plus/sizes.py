"""How big a student of MaskCLIP+ is, part by part, and what teaches it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from open_clip.utils import to_2tuple

from ...clip_weights import architecture
from ..outline import Piece, Shape, Sizes, clip_of, macs_of, text_tower
from .class_weight import weigh


def sizes(model: Any, shape: Shape) -> Sizes:
    """Of a MaskCLIPPlus and an image of `shape`, among fake tensors.

    Raises:
        ValueError: the student cannot take such an image.
    """
    return Sizes(1, shape, _pieces(model, shape))


def _pieces(model: Any, shape: Shape) -> Iterator[Piece]:
    image, guide = torch.zeros(1, 3, *shape), model.guide
    try:
        backbone = macs_of(model.backbone, image)
        head = macs_of(model.encode_decode, image) - backbone
    except RuntimeError as error:
        raise ValueError(f"The student cannot take an image of {shape[0]} x {shape[1]}: {error}") from error
    yield Piece("backbone", [*model.backbone.parameters()], backbone)
    yield Piece("decode head", [*model.decode_head.parameters()], head)
    if guide.weight_spec is not None:
        name = guide.weight_spec.get("model_type", "ViT-B-16")
        other = clip_of(name)
        shown = torch.zeros(1, 3, *to_2tuple(architecture(name)["vision_cfg"]["image_size"]))
        macs = macs_of(lambda: weigh(other.encode_image(shown), torch.zeros_like(model.text), 1.0))
        yield Piece("class weight", [*other.visual.parameters()], macs)
    clip = clip_of(guide.spec["model_type"])
    yield Piece("teacher", [*clip.visual.parameters()], None)
    yield text_tower(clip)
