"""Pixel-adaptive mask refinement (PAMR): local averaging guided by colors.

Araslanov and Roth, "Single-Stage Semantic Segmentation from Image Labels" (arXiv 2005.08104), section 3.4; on
score maps in SCLIP (arXiv 2312.01597) and NACLIP (arXiv 2404.08181), with 10 steps and dilations 8 and 16.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

MAP_KINDS = ("scores", "probabilities")
MAX_GROUP_ELEMENTS = {"cpu": 2**22, "cuda": 2**27}  # of maps refined together: they stay in a cache, or fill a GPU


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
        """Refine maps (N, H, W) by an image (3, h, w), resized to them.

        Maps that lie in memory pixel by pixel (channels last) need no transposition; the result lies so.
        """
        if self.steps == 0:
            return maps
        size = (maps.shape[1], maps.shape[2])
        weights = self._affinity(F.interpolate(image[None].float(), size=size, mode="bilinear")[0])
        weights = weights.flatten(1).T.contiguous()
        neighbors = _neighbor_indices(size, tuple(self.dilations), maps.device)
        limit = MAX_GROUP_ELEMENTS.get(maps.device.type, MAX_GROUP_ELEMENTS["cuda"])
        parts = []
        for part in maps.flatten(1).T.split(max(limit // len(weights), 1), 1):
            pixels = part.contiguous()
            for _ in range(self.steps):  # a weighted sum of rows: one pass over the maps, without a copy a neighbor
                pixels = F.embedding_bag(neighbors, pixels, per_sample_weights=weights, mode="sum")
            parts.append(pixels)
        return torch.cat(parts, 1).T.unflatten(1, size)

    def _affinity(self, image: Tensor) -> Tensor:
        """Neighbor weights of every pixel, sum one: (3, H, W) -> (neighbors, H, W)."""
        near = gather_neighbors(image, self.dilations)
        own_count = len(self.dilations)
        count = len(near) + own_count
        mean = (near.sum(0) + own_count * image) / count
        variance = ((near - mean).square_().sum(0) + own_count * (image - mean).square_()) / (count - 1)
        distance = (near - image).abs_().div_(1e-8 + 0.1 * variance.sqrt_())
        return distance.mean(1).neg_().softmax(0)


def gather_neighbors(image: Tensor, dilations: Sequence[int]) -> Tensor:
    """Gather the eight neighbors at each dilation: (C, H, W) -> (neighbors, C, H, W)."""
    h, w = image.shape[1:]
    reach = max(dilations)
    padded = F.pad(image[None], (reach,) * 4, mode="replicate")[0]
    offsets = [step for step in product((-1, 0, 1), repeat=2) if step != (0, 0)]
    starts = [(reach + dy * d, reach + dx * d) for d in dilations for dy, dx in offsets]
    return torch.stack([padded[:, y : y + h, x : x + w] for y, x in starts])


@lru_cache(maxsize=2)
def _neighbor_indices(size: tuple[int, int], dilations: tuple[int, ...], device: torch.device) -> Tensor:
    """Flat positions of every pixel's neighbors: (H*W, neighbors) int32."""
    positions = torch.arange(size[0] * size[1], dtype=torch.float64, device=device).reshape(1, *size)
    return gather_neighbors(positions, dilations).flatten(1).T.int().contiguous()
