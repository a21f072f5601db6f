"""Pixel-adaptive mask refinement (PAMR): local averaging guided by colors.

Araslanov and Roth, "Single-Stage Semantic Segmentation from Image Labels" (arXiv 2005.08104), section 3.4; on
score maps in SCLIP (arXiv 2312.01597) and NACLIP (arXiv 2404.08181), with 10 steps and dilations 8 and 16.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

MAP_KINDS = ("scores", "probabilities")
MAX_NEIGHBOR_ELEMENTS = 2**22  # of the maps refined together: 16 MB, which stay in a CPU's cache
MAX_GROUP_ROW_ELEMENTS = 2**13  # of one row of the maps refined together, where a step is a matrix product


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
        if maps.device.type == "cpu" and torch.backends.mkl.is_available():  # several times as fast as shifted maps
            return self._refine_by_matrix(maps, weights)
        group = max(MAX_NEIGHBOR_ELEMENTS // weights.numel(), 1)
        return torch.cat([self._refine_maps(part, weights[:, None]) for part in maps.split(group)])

    def _affinity(self, image: Tensor) -> Tensor:
        """Neighbor weights of every pixel, sum one: (3, H, W) -> (neighbors, H, W)."""
        near = gather_neighbors(image, self.dilations)
        own = image.expand(len(self.dilations), *image.shape)
        spread = torch.cat([near, own]).std(0)
        distance = (near - image).abs().div_(1e-8 + 0.1 * spread)
        return distance.mean(1).neg_().softmax(0)

    def _refine_maps(self, maps: Tensor, weights: Tensor) -> Tensor:
        for _ in range(self.steps):
            maps = gather_neighbors(maps, self.dilations).mul_(weights).sum(0)
        return maps

    def _refine_by_matrix(self, maps: Tensor, weights: Tensor) -> Tensor:
        """Refine maps (N, H, W), each step a product with a sparse matrix of weights."""
        size = (maps.shape[1], maps.shape[2])
        pixels = size[0] * size[1]
        ends = torch.arange(0, weights.numel() + 1, len(weights), dtype=torch.int32)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
            matrix = torch.sparse_csr_tensor(
                ends,
                _neighbor_indices(size, tuple(self.dilations)),
                weights.flatten(1).T.flatten(),
                (pixels, pixels),
                check_invariants=False,
            )
        parts = []
        for part in maps.flatten(1).split(max(MAX_GROUP_ROW_ELEMENTS // size[1], 1)):
            columns = part.T.contiguous()
            for _ in range(self.steps):
                columns = matrix @ columns
            parts.append(columns.T)
        return torch.cat(parts).unflatten(1, size)


def gather_neighbors(image: Tensor, dilations: Sequence[int]) -> Tensor:
    """Gather the eight neighbors at each dilation: (C, H, W) -> (neighbors, C, H, W)."""
    h, w = image.shape[1:]
    reach = max(dilations)
    padded = F.pad(image[None], (reach,) * 4, mode="replicate")[0]
    offsets = [step for step in product((-1, 0, 1), repeat=2) if step != (0, 0)]
    starts = [(reach + dy * d, reach + dx * d) for d in dilations for dy, dx in offsets]
    return torch.stack([padded[:, y : y + h, x : x + w] for y, x in starts])


@lru_cache(maxsize=4)
def _neighbor_indices(size: tuple[int, int], dilations: tuple[int, ...]) -> Tensor:
    """Flat positions of every pixel's neighbors, pixel by pixel: (H*W*neighbors,) int32."""
    positions = torch.arange(size[0] * size[1], dtype=torch.float64).reshape(1, *size)
    return gather_neighbors(positions, dilations).flatten(1).T.flatten().int()
