"""Decoder of CLIP-RC, with queries of every region and class, and the recovery of its input in training.

Zhang et al., "Exploring Regional Clues in CLIP for Zero-Shot Semantic Segmentation" (CVPR 2024): region alignment and
recovery decoder. The relationship descriptor is that of Zhou et al., "ZegCLIP" (arXiv 2212.03588).
"""

import copy
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from proxyclip.models.trained.clip_rc.encoder import RegionFeatures


class DecoderOutput(NamedTuple):
    """Decoder output for N images, C classes, M regions."""

    logits: Tensor  # (N, C, g, g) float32
    queries: Tensor  # q (N, M * C, D), region by region
    patches: Tensor  # f (N, g * g, D)
    first_queries: Tensor  # Q0 (N, M * C, 2 D), the input that q is projected from
    first_patches: Tensor  # F0 (N, g * g, D)


class CrossAttentionLayer(nn.Module):
    """Cross-attention to the other stream, then an MLP; post-norm, with residuals.

    Args:
        dim: D. heads: of the attention. hidden: width of the MLP. dropout: of attention weights, after attention, in
            and after the MLP.
    """

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.o = nn.Linear(dim, dim)
        self.ffn1 = nn.Linear(dim, hidden)
        self.ffn2 = nn.Linear(hidden, dim)
        self.ln1 = nn.LayerNorm(dim)
        self.ln2 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """Update x (N, L, D) by attention to `other` (N, L', D)."""
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (self.q(x), self.k(other), self.v(other))
        )
        attended = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        x = self.ln1(x + self._drop(self.o(attended.transpose(1, 2).flatten(2))))
        return self.ln2(x + self._drop(self.ffn2(self._drop(self.ffn1(x).relu()))))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


class TwoStreamLayers(nn.Module):
    """Layers of cross-attention between queries and patches, each to the other stream as the previous layer left it.

    The layers of a stream are initialized as copies of each other.
    """

    def __init__(self, dim: int, layers: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        query_layer = CrossAttentionLayer(dim, heads, hidden, dropout)
        patch_layer = CrossAttentionLayer(dim, heads, hidden, dropout)
        self.queries = nn.ModuleList(copy.deepcopy(query_layer) for _ in range(layers))
        self.patches = nn.ModuleList(copy.deepcopy(patch_layer) for _ in range(layers))

    def forward(self, q: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
        """Update q (N, Q, D) and f (N, P, D) by all layers."""
        for of_queries, of_patches in zip(self.queries, self.patches, strict=True):
            q, f = of_queries(q, f), of_patches(f, q)
        return q, f


class RegionDecoder(nn.Module):
    """Decode features of an image and text rows to logits of the classes.

    Args:
        dim: D, of the image-text space; it has to be a multiple of `heads`.
        layers, heads, hidden, dropout: of the two streams.
    """

    def __init__(self, dim: int, layers: int = 3, heads: int = 8, hidden: int = 2048, dropout: float = 0.1) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"Expected decoder.heads to divide {dim}, the width of CLIP's space, but got {heads}")
        self.query_proj = nn.Linear(2 * dim, dim)
        self.patch_proj = nn.Linear(3 * dim, dim)
        self.streams = TwoStreamLayers(dim, layers, heads, hidden, dropout)

    def forward(self, features: RegionFeatures, text: Tensor) -> DecoderOutput:
        """Decode encoder features with text rows (C, D)."""
        first_queries = build_region_queries(features, text)
        first_patches = features.patches.flatten(2).mT
        grid = features.patches.shape[2:]
        cells = features.regions.shape[2] * features.regions.shape[3]
        regions = F.interpolate(features.regions, size=grid, mode="bilinear").flatten(2).mT
        whole = features.whole[:, None].expand_as(first_patches)
        q = self.query_proj(first_queries)
        f = self.patch_proj(torch.cat([regions, whole, first_patches], 2))
        q, f = self.streams(q, f)
        with torch.autocast(q.device.type, enabled=False):
            # the mean over regions of q f^T, with the mean taken first
            logits = q.float().unflatten(1, (cells, len(text))).mean(1) @ f.float().mT
        return DecoderOutput(logits.unflatten(2, grid), q, f, first_queries, first_patches)


class RecoveryDecoder(nn.Module):
    """Recover the decoder's input from its output, for a loss in training.

    Arguments are those of `RegionDecoder`.
    """

    def __init__(self, dim: int, heads: int = 8, hidden: int = 2048, dropout: float = 0.1) -> None:
        super().__init__()
        self.query_in = nn.Linear(dim, dim)
        self.patch_in = nn.Linear(dim, dim)
        self.streams = TwoStreamLayers(dim, 1, heads, hidden, dropout)
        self.query_out = nn.Linear(dim, 2 * dim)
        self.patch_out = nn.Linear(dim, dim)
        init_truncated_normal(self)

    def forward(self, q: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
        """Recover Q0 (N, Q, 2 D) and F0 (N, P, D) from q (N, Q, D) and f (N, P, D)."""
        q, f = self.streams(self.query_in(q), self.patch_in(f))
        return self.query_out(q), self.patch_out(f)


def build_region_queries(features: RegionFeatures, text: Tensor) -> Tensor:
    """Build the queries (N, M * C, 2 D) of text rows (C, D), region by region.

    The query of region l and class c is [(R_l + G) * T_c ; T_c], the relationship descriptor of a region.
    """
    regions = features.regions.flatten(2).mT + features.whole[:, None]  # N, M, D
    products = regions[:, :, None] * text
    return torch.cat([products, text.expand_as(products)], 3).flatten(1, 2)


def init_truncated_normal(module: nn.Module) -> None:
    """Initialize matrices from a normal distribution of deviation 0.02, truncated at -2 and 2, and biases with 0."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=0.02)
            nn.init.zeros_(part.bias)


def init_paper_weights(decoder: RegionDecoder) -> None:
    """Initialize as the published code intends but never does: small, MLPs of the patch stream with zeros."""
    init_truncated_normal(decoder)
    for layer in decoder.streams.patches.children():
        nn.init.zeros_(layer.get_parameter("ffn2.weight"))
