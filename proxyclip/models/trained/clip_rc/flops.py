"""Parameter and MAC counts of CLIP-RC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from proxyclip.models.clip.dense import DenseCLIP
from proxyclip.models.sliding.windows import plan_windows
from proxyclip.models.trained.clip_rc.encoder import RegionTower
from proxyclip.models.trained.flops import (
    ImageShape,
    ModelPart,
    ModelSizes,
    build_clip_without_weights,
    count_macs,
    get_text_tower_part,
)


def measure_clip_rc(model: Any, shape: ImageShape) -> ModelSizes:
    """Count parameters and MACs of a CLIPRC for one image, on fake tensors.

    A smaller image is padded to one window.
    """
    sides = [max(side, model.crop) for side in shape]
    rows, columns = plan_windows(sides, model.crop, model.stride, 1)
    return ModelSizes(len(rows.starts) * len(columns.starts), (model.crop, model.crop), _iter_clip_rc_parts(model))


def _iter_clip_rc_parts(model: Any) -> Iterator[ModelPart]:
    frozen = model.frozen
    clip = build_clip_without_weights(frozen.name[0])
    tower = RegionTower(DenseCLIP(clip, lambda texts: torch.zeros(0)), frozen.grid, frozen.regions)
    frozen.tower = tower
    # its own position table is the one for the crop
    visual = [weight for name, weight in clip.visual.named_parameters() if name != "positional_embedding"]
    window = torch.zeros(1, 3, model.crop, model.crop)
    encoder = count_macs(model.extract_feat, window)
    yield ModelPart("image encoder", [*visual, tower.positions, tower.regions, *model.prompts.parameters()], encoder)
    yield ModelPart("decode head", [*model.decode_head.parameters()], count_macs(model.scores, window) - encoder)
    yield get_text_tower_part(clip)
    if model.recovery is not None:
        yield ModelPart("recovery", [*model.recovery.parameters()], None)
