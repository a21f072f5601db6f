"""What of CLIP-RC is never trained: CLIP, loaded when it is first needed. It is no part of a checkpoint."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...clip import load_clip
from ...weights import fingerprint
from .encoder import Tower


class Frozen:
    """CLIP and its region tokens. No module, so that a model which holds it neither trains, nor stores it.

    Args:
        model_type, clip_type: as in `clip.load_clip`. grid: patches a side of a training crop. regions: M.
    """

    def __init__(self, model_type: str, clip_type: str | None, grid: int, regions: int) -> None:
        self.name = (model_type, clip_type)
        self.grid, self.regions = grid, regions
        self.tower: Tower | None = None

    def open(self, device: torch.device) -> Tower:
        """The tower, loaded when it is first asked for.

        Raises:
            WeightsError, TypeError: see `clip.load_clip`.
        """
        if self.tower is None:
            self.tower = Tower(load_clip(*self.name), self.grid, self.regions).to(device)
        return self.tower

    def hash(self, device: torch.device) -> Tensor:
        """Of the weights of the image tower, (32,) uint8."""
        visual = self.open(device).clip.model.visual
        return torch.tensor(list(bytes.fromhex(fingerprint(visual))), dtype=torch.uint8, device=device)


def grid_of(crop: int, vision: dict[str, Any]) -> int:
    """Patches a side of a square crop, of an open_clip `vision_cfg`.

    Raises:
        ValueError: the crop is no whole number of patches, or the tower is none that can be prompted.
    """
    patch = vision.get("patch_size")
    if not isinstance(patch, int) or not isinstance(vision.get("layers"), int):
        raise ValueError("Expected model_type to be a CLIP with a ViT of square patches")
    if crop % patch or not crop:
        raise ValueError(f"Expected `slide_crop` to be a multiple of the patch size {patch}, but got {crop}")
    return crop // patch
