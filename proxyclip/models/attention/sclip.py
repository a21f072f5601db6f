"""SCLIP: correlative self-attention, by similar queries and by similar keys.

Wang, Mei and Yuille, "SCLIP: Rethinking Self-Attention for Dense Vision-Language Inference" (arXiv 2312.01597).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from proxyclip.models.layers.block import Grid, add_residual_and_mlp, compute_attention_logits, compute_qkv, mix_values


@dataclass(frozen=True)
class SCLIP:
    """Softmax(q qᵀ / sqrt(d)) + softmax(k kᵀ / sqrt(d)) over all tokens.

    Args:
        residual: keep the residual connection and the MLP, as published.
    """

    residual: bool = True
    method: ClassVar[str] = "sclip"
    guided: ClassVar[bool] = False

    def __call__(self, block: Any, x: Tensor, grid: Grid, guide: Tensor | None) -> tuple[Tensor, Grid]:
        q, k, v = compute_qkv(block, x)
        weights = compute_attention_logits(q, q).softmax(-1) + compute_attention_logits(k, k).softmax(-1)
        tokens = mix_values(block, weights, v)
        return (add_residual_and_mlp(block, x, tokens) if self.residual else tokens)[:, 1:], grid
