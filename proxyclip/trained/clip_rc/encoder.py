"""The image encoder of CLIP-RC: a frozen CLIP ViT with deep prompts, and tokens that each see one region.

Zhang et al., "Exploring Regional Clues in CLIP for Zero-Shot Semantic Segmentation" (CVPR 2024): the region-level
bridge. Deep prompts are those of Jia et al., "Visual Prompt Tuning" (arXiv 2203.12119).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...clip import DenseCLIP


class Features(NamedTuple):
    """What the encoder says of N images; every vector has length 1, all are float32."""

    patches: Tensor  # (N, D, g, g)
    whole: Tensor  # (N, D), of the class token
    regions: Tensor  # (N, D, m, m), M = m * m regions


def region_mask(grid: int, prompts: int, regions: int) -> Tensor:
    """Which tokens must not look at each other: (T, T) bool, True is blocked, T = 1 + prompts + grid ** 2 + regions.

    Tokens are in the order class, prompts, patches (row-major), regions (row-major). A region and the patches of its
    cell see each other and themselves; a region sees nothing else, and nothing else sees it. All others see each other.
    A cell has grid // sqrt(regions) patches a side; patches that are left over see no region.

    Raises:
        ValueError: the number of regions is no square, or there are more of them than patches.
    """
    side = math.isqrt(regions)
    if side * side != regions or not 0 < side <= grid:
        raise ValueError(f"Expected `regions` to be a square number up to {grid * grid}, but got {regions}")
    cell, line = grid // side, torch.arange(grid)
    part = torch.where(line < cell * side, line // cell, -1)
    rows, columns = part[:, None].expand(grid, grid), part[None].expand(grid, grid)
    owner = torch.where((rows < 0) | (columns < 0), -1, rows * side + columns).flatten()
    sees = owner == torch.arange(regions)[:, None]  # regions, patches
    first = 1 + prompts
    usual = first + grid * grid
    blocked = torch.ones(usual + regions, usual + regions, dtype=torch.bool)
    blocked[:usual, :usual] = False
    blocked[usual:, first:usual] = ~sees
    blocked[first:usual, usual:] = ~sees.T
    blocked[usual:, usual:].fill_diagonal_(False)
    return blocked


def first_tokens(positions: Tensor, class_embedding: Tensor, grid: int, regions: int) -> tuple[Tensor, Tensor]:
    """Position table for `grid` patches a side, and region tokens to begin with, of a CLIP that knows another grid.

    Args:
        positions: (1 + h * h, E), the class token's first; class_embedding: (E,).

    Returns:
        (1 + grid ** 2, E), resized bilinearly, and (regions, E): the class embedding at its position, each.
    """
    first, table = positions[:1], positions[1:]
    side = math.isqrt(len(table))
    if side != grid:
        square = table.T.unflatten(1, (side, side))[None]
        table = F.interpolate(square, size=(grid, grid), mode="bilinear")[0].flatten(1).T
    return torch.cat([first, table]), (class_embedding + first).expand(regions, -1)


class Tower(nn.Module):
    """The frozen part: CLIP's ViT, its position table for one grid, and the region tokens.

    Args:
        clip: with a square position table, such as OpenAI's.
        grid: patches a side of a training crop.
        regions: M, a square number.
    """

    def __init__(self, clip: DenseCLIP, grid: int, regions: int) -> None:
        super().__init__()
        self.clip = clip
        v: Any = clip.model.visual
        positions, tokens = first_tokens(v.positional_embedding.detach(), v.class_embedding.detach(), grid, regions)
        self.positions, self.regions = nn.Parameter(positions.clone()), nn.Parameter(tokens.clone())
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Tower:
        """It is always in evaluation mode."""
        return super().train(False)


class Prompts(nn.Module):
    """The trained part: prompts of every block, their shared projection, and a norm after the last block.

    Args:
        number: K, prompts a block. width: E. depth: blocks. patch: side of a patch, of which the first values depend.
        dropout: of the projected prompts.
    """

    def __init__(self, number: int, width: int, depth: int, patch: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.empty(1, number, width))
        self.deep = nn.Parameter(torch.empty(depth - 1, number, width))
        self.project, self.norm = nn.Linear(width, width), nn.LayerNorm(width, eps=1e-6)
        self.dropout = nn.Dropout(dropout)
        bound = math.sqrt(6 / (3 * patch * patch + width))
        nn.init.uniform_(self.first, -bound, bound)
        nn.init.uniform_(self.deep, -bound, bound)
        nn.init.kaiming_normal_(self.project.weight, a=0, mode="fan_out")

    def forward(self, block: int, images: int) -> Tensor:
        """The prompts of a block, counted from 0, for a number of images: (images, K, E)."""
        rows = self.first[0] if block == 0 else self.deep[block - 1]
        return self.dropout(self.project(rows).expand(images, -1, -1))


def encode(tower: Tower, prompts: Prompts, images: Tensor, parity: str = "upstream") -> Features:
    """Features of square images (N, 3, S, S), normalised.

    In the parity "upstream" the class embedding is added twice to its token.

    Raises:
        ValueError: the images are not square, or no whole number of patches.
    """
    visual: Any = tower.clip.model.visual
    patch, (h, w) = tower.clip.patch, images.shape[2:]
    if h != w or h % patch:
        raise ValueError(f"Expected square images whose side is a multiple of {patch}, but got {h} x {w}")
    n, grid, k, m = len(images), h // patch, prompts.first.shape[1], len(tower.regions)
    x = visual.conv1(images).flatten(2).mT
    table = tower.positions if len(tower.positions) == 1 + grid**2 else _resized(tower, grid)
    whole = visual.class_embedding + table[:1]
    if parity == "upstream":
        whole = whole + visual.class_embedding
    x = torch.cat([whole.expand(n, 1, -1), x + table[1:], tower.regions.expand(n, -1, -1)], 1)
    x = visual.ln_pre(x)
    head, rest = x[:, :1], x[:, 1:]
    mask = torch.zeros(1, device=x.device).masked_fill(region_mask(grid, k, m).to(x.device), -torch.inf)
    for number, block in enumerate(visual.transformer.resblocks):
        x = block(torch.cat([head, prompts(number, n).to(x.dtype), rest], 1), attn_mask=mask)
        head, rest = x[:, :1], x[:, 1 + k :]
    x = torch.cat([prompts.norm(torch.cat([head, rest[:, :-m]], 1)), rest[:, -m:].to(x.dtype)], 1)
    x = F.normalize((visual.ln_post(x) @ visual.proj).float(), dim=2)
    side = math.isqrt(m)
    return Features(
        x[:, 1:-m].mT.unflatten(2, (grid, grid)), x[:, 0], x[:, -m:].mT.unflatten(2, (side, side)),
    )  # fmt: skip


def _resized(tower: Tower, grid: int) -> Tensor:
    return first_tokens(tower.positions, tower.positions[0], grid, 1)[0]
