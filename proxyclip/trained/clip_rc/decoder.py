"""The decoder of CLIP-RC: queries of every region and class, two streams of cross-attention, and their recovery.

Zhang et al., "Exploring Regional Clues in CLIP for Zero-Shot Semantic Segmentation" (CVPR 2024): region alignment and
recovery decoder. The relationship descriptor is that of Zhou et al., "ZegCLIP" (arXiv 2212.03588).
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .encoder import Features


class Decoded(NamedTuple):
    """What the decoder makes of N images and C classes with M regions."""

    logits: Tensor  # (N, C, g, g) float32
    queries: Tensor  # q (N, M * C, D), region by region
    patches: Tensor  # f (N, g * g, D)
    first_queries: Tensor  # Q0 (N, M * C, 2 D), what q was made of
    first_patches: Tensor  # F0 (N, g * g, D)


class CrossLayer(nn.Module):
    """One stream looks at the other: attention, then an MLP, each with a residual and a norm after it.

    Args:
        dim: D. heads: of the attention. hidden: width of the MLP. dropout: of attention weights, after attention, in
            and after the MLP.
    """

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))
        self.ffn1, self.ffn2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.ln1, self.ln2 = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """x (N, L, D) after a look at `other` (N, L', D)."""
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (self.q(x), self.k(other), self.v(other))
        )
        found = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        x = self.ln1(x + self._drop(self.o(found.transpose(1, 2).flatten(2))))
        return self.ln2(x + self._drop(self.ffn2(self._drop(self.ffn1(x).relu()))))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


class TwoStreams(nn.Module):
    """Layers in which queries and patches look at each other, both as the layer before left them.

    The layers of a stream begin as copies of each other.
    """

    def __init__(self, dim: int, layers: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.queries, self.patches = (
            nn.ModuleList(copy.deepcopy(layer) for _ in range(layers))
            for layer in (CrossLayer(dim, heads, hidden, dropout) for _ in range(2))
        )

    def forward(self, q: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
        """q (N, Q, D) and f (N, P, D), after all layers."""
        for of_queries, of_patches in zip(self.queries, self.patches, strict=True):
            q, f = of_queries(q, f), of_patches(f, q)
        return q, f


class RegionDecoder(nn.Module):
    """Features of an image and text rows -> logits of the classes.

    Args:
        dim: D, of the image-text space; it has to be a multiple of `heads`.
        layers, heads, hidden, dropout: of the two streams.
    """

    def __init__(self, dim: int, layers: int = 3, heads: int = 8, hidden: int = 2048, dropout: float = 0.1) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"Expected decoder.heads to divide {dim}, the width of CLIP's space, but got {heads}")
        self.query_proj, self.patch_proj = nn.Linear(2 * dim, dim), nn.Linear(3 * dim, dim)
        self.streams = TwoStreams(dim, layers, heads, hidden, dropout)

    def forward(self, seen: Features, text: Tensor) -> Decoded:
        """Args: seen: of the encoder. text: rows (C, D)."""
        first_queries = align(seen, text)
        first_patches = seen.patches.flatten(2).mT
        grid, cells = seen.patches.shape[2:], seen.regions.shape[2] * seen.regions.shape[3]
        regions = F.interpolate(seen.regions, size=grid, mode="bilinear").flatten(2).mT
        whole = seen.whole[:, None].expand_as(first_patches)
        q = self.query_proj(first_queries)
        f = self.patch_proj(torch.cat([regions, whole, first_patches], 2))
        q, f = self.streams(q, f)
        with torch.autocast(q.device.type, enabled=False):
            # the mean over regions of q f^T, with the mean taken first
            logits = q.float().unflatten(1, (cells, len(text))).mean(1) @ f.float().mT
        return Decoded(logits.unflatten(2, grid), q, f, first_queries, first_patches)


class Recovery(nn.Module):
    """Makes what the decoder began with of what it ended with; only for a loss in training. Arguments as there."""

    def __init__(self, dim: int, heads: int = 8, hidden: int = 2048, dropout: float = 0.1) -> None:
        super().__init__()
        self.query_in, self.patch_in = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.streams = TwoStreams(dim, 1, heads, hidden, dropout)
        self.query_out, self.patch_out = nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        init_small(self)

    def forward(self, q: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
        """q (N, Q, D), f (N, P, D) -> recovered Q0 (N, Q, 2 D), F0 (N, P, D)."""
        q, f = self.streams(self.query_in(q), self.patch_in(f))
        return self.query_out(q), self.patch_out(f)


def align(seen: Features, text: Tensor) -> Tensor:
    """Queries of every region and class, region by region: (N, M * C, 2 D) of text rows (C, D).

    The query of region l and class c is [(R_l + G) * T_c ; T_c], the relationship descriptor of a region.
    """
    regions = seen.regions.flatten(2).mT + seen.whole[:, None]  # N, M, D
    found = regions[:, :, None] * text
    return torch.cat([found, text.expand_as(found)], 3).flatten(1, 2)


def init_small(module: nn.Module) -> None:
    """Matrices from a normal distribution of deviation 0.02, biases 0; norms are left at 1 and 0.

    It is cut at -2 and 2, as timm has it, and so not at all.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=0.02)
            nn.init.zeros_(part.bias)


def init_as_intended(decoder: RegionDecoder) -> None:
    """The first weights that the published code has for its decoder and never sets: small, patches begin unmoved."""
    init_small(decoder)
    for layer in decoder.streams.patches.children():
        nn.init.zeros_(layer.get_parameter("ffn2.weight"))
