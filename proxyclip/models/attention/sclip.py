"""SCLIP: patches attend to those with similar queries and to those with similar keys (correlative self-attention).

Wang, Mei and Yuille, "SCLIP: Rethinking Self-Attention for Dense Vision-Language Inference" (arXiv 2312.01597).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from proxyclip.models.layers.block import mix, query_key_value, similarity, with_residual


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
        q, k, v = query_key_value(block, x)
        tokens = mix(block, similarity(q, q).softmax(-1) + similarity(k, k).softmax(-1), v)
        return (with_residual(block, x, tokens) if self.residual else tokens)[:, 1:], grid
