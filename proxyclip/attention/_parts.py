"""Pieces of a residual attention block that several strategies use."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor


def projected_values(block: Any, x: Tensor) -> Tensor:
    """Values of the patches after the output projection: out_proj(W_v ln_1(x) + b_v), class token dropped.

    Mixing patches with weights that sum to one commutes with the (affine) output projection, so it can come first,
    on CLIP's coarse grid.

    Args:
        x: (B, 1 + h*w, C).

    Returns:
        (B, h*w, C).
    """
    attn = block.attn
    width = attn.embed_dim
    bias = None if attn.in_proj_bias is None else attn.in_proj_bias[2 * width :]
    values = F.linear(block.ln_1(x[:, 1:]), attn.in_proj_weight[2 * width :], bias)
    return block.ls_1(attn.out_proj(values))


def resize_tokens(tokens: Tensor, grid: tuple[int, int], to: tuple[int, int]) -> Tensor:
    """Bilinear resize of tokens (B, h*w, C) from one grid to another -> (B, H*W, C)."""
    if grid == to:
        return tokens
    maps = tokens.mT.unflatten(2, grid)
    return F.interpolate(maps, size=to, mode="bilinear").flatten(2).mT
