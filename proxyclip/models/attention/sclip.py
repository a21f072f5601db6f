"""SCLIP: patches attend to those with similar queries and to those with similar keys (correlative self-attention).

Wang, Mei and Yuille, "SCLIP: Rethinking Self-Attention for Dense Vision-Language Inference" (arXiv 2312.01597).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from proxyclip.models.layers.block import add_residual_and_mlp, compute_attention_logits, compute_qkv, mix_values


@dataclass(frozen=True)
class SCLIP:
    """P = softmax(q qᵀ / sqrt(d)) + softmax(k kᵀ / sqrt(d)), head by head, over all tokens; rows sum to two.

    Args:
        residual: keep the residual connection and the MLP, as published.
    """

    residual: bool = True
    method: ClassVar[str] = "sclip"
    guided: ClassVar[bool] = False

    def __call__(
        self, block: Any, x: Tensor, grid: tuple[int, int], guide: Tensor | None
    ) -> tuple[Tensor, tuple[int, int]]:
        q, k, v = compute_qkv(block, x)
        tokens = mix_values(
            block, compute_attention_logits(q, q).softmax(-1) + compute_attention_logits(k, k).softmax(-1), v
        )
        return (add_residual_and_mlp(block, x, tokens) if self.residual else tokens)[:, 1:], grid
