"""Parts of a residual attention block that several attention strategies use."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

Grid = tuple[int, int]  # (h, w) in patches


def project_values(block: Any, x: Tensor) -> Tensor:
    """Project the patches' values: (B, 1 + h*w, C) -> out_proj(v), (B, h*w, C).

    Mixing patches with weights that sum to one commutes with the (affine) output projection, so it can come first,
    on CLIP's coarse grid.
    """
    return block.ls_1(block.attn.out_proj(_project_qkv_part(block, x[:, 1:], 2)))


def project_keys(block: Any, x: Tensor) -> Tensor:
    """Project the patches' keys, as MaskCLIP: (B, 1 + h*w, C) -> (B, h*w, C)."""
    return block.attn.out_proj(_project_qkv_part(block, x[:, 1:], 1))


def _project_qkv_part(block: Any, x: Tensor, part: int) -> Tensor:
    """Queries (part 0), keys (1) or values (2) of ln_1(x), heads side by side."""
    attn = block.attn
    rows = slice(part * attn.embed_dim, (part + 1) * attn.embed_dim)
    bias = None if attn.in_proj_bias is None else attn.in_proj_bias[rows]
    return F.linear(block.ln_1(x), attn.in_proj_weight[rows], bias)


def compute_qkv(block: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute q, k, v of ln_1(x): (B, N, C) -> three of (B, heads, N, C / heads)."""
    attn = block.attn
    joint = F.linear(block.ln_1(x), attn.in_proj_weight, attn.in_proj_bias)
    q, k, v = joint.unflatten(2, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
    return q, k, v


def compute_attention_logits(a: Tensor, b: Tensor) -> Tensor:
    """Compute a bᵀ / sqrt(d): (..., N, d), (..., M, d) -> (..., N, M) float32."""
    return (a @ b.mT).float() * a.shape[-1] ** -0.5


def mix_values(block: Any, weights: Tensor, values: Tensor) -> Tensor:
    """Weight values (B, heads, M, d) by (B, heads or 1, N, M), project to (B, N, C)."""
    mixed = weights.to(values.dtype) @ values
    return block.ls_1(block.attn.out_proj(mixed.transpose(1, 2).flatten(2)))


def add_residual_and_mlp(block: Any, x: Tensor, attended: Tensor) -> Tensor:
    """Finish the block after its attention: (B, N, C), (B, N, C) -> (B, N, C)."""
    x = x + attended
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def resize_tokens(tokens: Tensor, grid: Grid, to: Grid) -> Tensor:
    """Resize tokens bilinearly from one grid to another: (B, h*w, C) -> (B, H*W, C)."""
    if grid == to:
        return tokens
    maps = tokens.mT.unflatten(2, grid)
    return F.interpolate(maps, size=to, mode="bilinear").flatten(2).mT
