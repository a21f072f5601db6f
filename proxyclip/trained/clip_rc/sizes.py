"""How big CLIP-RC is, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ... import windows
from ...clip import DenseCLIP
from ..outline import Piece, Shape, Sizes, clip_of, macs_of, text_tower
from .encoder import Tower


def sizes(model: Any, shape: Shape) -> Sizes:
    """Of a CLIPRC and an image of `shape`, among fake tensors; a smaller image is filled up to one window."""
    sides = [max(side, model.crop) for side in shape]
    rows, columns = windows.plan(sides, model.crop, model.stride, 1)
    return Sizes(len(rows.starts) * len(columns.starts), (model.crop, model.crop), _pieces(model))


def _pieces(model: Any) -> Iterator[Piece]:
    frozen = model.frozen
    clip = clip_of(frozen.name[0])
    frozen.tower = tower = Tower(DenseCLIP(clip, lambda words: torch.zeros(0)), frozen.grid, frozen.regions)
    # its own position table is the one for the crop
    visual = [weight for name, weight in clip.visual.named_parameters() if name != "positional_embedding"]
    window = torch.zeros(1, 3, model.crop, model.crop)
    encoder = macs_of(model.extract_feat, window)
    yield Piece("image encoder", [*visual, tower.positions, tower.regions, *model.prompts.parameters()], encoder)
    yield Piece("decode head", [*model.decode_head.parameters()], macs_of(model.scores, window) - encoder)
    yield text_tower(clip)
    if model.recovery is not None:
        yield Piece("recovery", [*model.recovery.parameters()], None)
