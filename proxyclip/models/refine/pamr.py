"""Pixel-adaptive mask refinement (PAMR): local averaging guided by colors.

Araslanov and Roth, "Single-Stage Semantic Segmentation from Image Labels" (arXiv 2005.08104), section 3.4; on
score maps in SCLIP (arXiv 2312.01597) and NACLIP (arXiv 2404.08181), with 10 steps and dilations 8 and 16.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

MAP_KINDS = ("scores", "probabilities")
MAX_NEIGHBOR_ELEMENTS = 2**22  # of the maps refined together: 16 MB, which stay in a CPU's cache


@dataclass(frozen=True)
class PAMR:
    """Weighted averaging of neighbors: m_i <- sum over neighbors j of a_ij m_j.

    a = softmax over j of -mean over channels of |x_i - x_j| / (0.1 s_i). Neighbors are the eight around a pixel at
    every dilation; s_i is the standard deviation of a channel over all of them and, once a dilation, the pixel itself.
    Image and maps are continued beyond the border by their last pixel.

    Args:
        steps: number of steps; 0 does nothing.
        dilations: distances of the neighbors in pixels of the maps.
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
        """Refine maps (N, H, W) by an image (3, h, w), resized to them."""
        if self.steps == 0:
            return maps
        size = (maps.shape[1], maps.shape[2])
        weights = self._affinity(F.interpolate(image[None].float(), size=size, mode="bilinear")[0])
        group = max(MAX_NEIGHBOR_ELEMENTS // weights.numel(), 1)
        return torch.cat([self._refine_maps(part, weights[:, None]) for part in maps.split(group)])

    def _affinity(self, image: Tensor) -> Tensor:
        """Neighbor weights of every pixel, sum one: (3, H, W) -> (neighbors, H, W)."""
        near = self._gather_neighbors(image)
        own = image.expand(len(self.dilations), *image.shape)
        spread = torch.cat([near, own]).std(0)
        distance = (near - image).abs().div_(1e-8 + 0.1 * spread)
        return distance.mean(1).neg_().softmax(0)

    def _refine_maps(self, maps: Tensor, weights: Tensor) -> Tensor:
        for _ in range(self.steps):
            maps = self._gather_neighbors(maps).mul_(weights).sum(0)
        return maps

    def _gather_neighbors(self, image: Tensor) -> Tensor:
        """(C, H, W) -> (neighbors, C, H, W)."""
        h, w = image.shape[1:]
        reach = max(self.dilations)
        padded = F.pad(image[None], (reach,) * 4, mode="replicate")[0]
        offsets = [step for step in product((-1, 0, 1), repeat=2) if step != (0, 0)]
        starts = [(reach + dy * d, reach + dx * d) for d in self.dilations for dy, dx in offsets]
        return torch.stack([padded[:, y : y + h, x : x + w] for y, x in starts])
