"""Pixel-adaptive mask refinement (PAMR): maps follow the image's colours, a few steps of local averaging.

Araslanov and Roth, "Single-Stage Semantic Segmentation from Image Labels" (arXiv 2005.08104), section 3.4; on
score maps in SCLIP (arXiv 2312.01597) and NACLIP (arXiv 2404.08181), with 10 steps and dilations 8 and 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

MAP_KINDS = ("scores", "probabilities")
MAX_NEIGHBOR_ELEMENTS = (
    2**22
)  # elements of the neighbours of the maps refined together: 16 MB, which stay in a CPU's cache


@dataclass(frozen=True)
class PAMR:
    """m_i <- sum over neighbours j of a_ij m_j, a = softmax over j of -mean over channels of |x_i - x_j| / (0.1 s_i).

    Neighbours are the eight around a pixel at every dilation; s_i is the standard deviation of a channel over all of
    them and, once a dilation, the pixel itself. Beyond the border the image and the maps go on with their last pixel.

    Args:
        steps: how often; 0 does nothing.
        dilations: distances of the neighbours in pixels of the maps.
        on: "scores" (as published) or "probabilities", which are fewer where classes have synonyms.
    """

    steps: int = 10
    dilations: Sequence[int] = (8, 16)
    on: str = "scores"

    def __post_init__(self) -> None:
        object.__setattr__(self, "dilations", tuple(self.dilations))
        if self.steps < 0 or not self.dilations or min(self.dilations) < 1:
            raise ValueError(f"Expected steps >= 0 and dilations of 1 or more, but got {self.steps}, {self.dilations}")
        if self.on not in MAP_KINDS:
            raise ValueError(f"Expected on of pamr to be one of {', '.join(MAP_KINDS)}, but got {self.on!r}")

    def __call__(self, maps: Tensor, image: Tensor) -> Tensor:
        """Maps (N, H, W) and image (3, h, w), which is resized to the maps' size -> (N, H, W)."""
        if self.steps == 0:
            return maps
        size = (maps.shape[1], maps.shape[2])
        weights = self.affinity(F.interpolate(image[None].float(), size=size, mode="bilinear")[0])
        together = max(MAX_NEIGHBOR_ELEMENTS // weights.numel(), 1)
        return torch.cat([self._refine_maps(some, weights[:, None]) for some in maps.split(together)])

    def affinity(self, image: Tensor) -> Tensor:
        """Weights of all neighbours of every pixel: (3, H, W) -> (neighbours, H, W), their sum one."""
        near = self._gather_neighbors(image)
        own = image.expand(len(self.dilations), *image.shape)
        spread = torch.cat([near, own]).std(0)
        distance = (near - image).abs().div_(1e-8 + 0.1 * spread)
        return distance.mean(1).neg_().softmax(0)

    def _refine_maps(self, maps: Tensor, weights: Tensor) -> Tensor:
        """All steps of a few maps (n, H, W), which know nothing of each other; weights (neighbours, 1, H, W)."""
        for _ in range(self.steps):
            maps = self._gather_neighbors(maps).mul_(weights).sum(0)
        return maps

    def _gather_neighbors(self, image: Tensor) -> Tensor:
        """The neighbours of every pixel: (C, H, W) -> (neighbours, C, H, W)."""
        h, w = image.shape[1:]
        reach = max(self.dilations)
        padded = F.pad(image[None], (reach,) * 4, mode="replicate")[0]
        offsets = [
            (reach + dy * d, reach + dx * d)
            for d in self.dilations
            for dy, dx in product((-1, 0, 1), repeat=2)
            if (dy, dx) != (0, 0)
        ]
        return torch.stack([padded[:, y : y + h, x : x + w] for y, x in offsets])
