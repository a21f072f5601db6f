"""ClearCLIP: self-attention by queries, without the residual connection and the MLP, which carry the noise.

Lan et al., "ClearCLIP: Decomposing CLIP Representations for Dense Vision-Language Inference" (arXiv 2407.12442).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from proxyclip.models.layers.block import compute_attention_logits, compute_qkv, mix_values

QKV_PAIRS = ("qq", "kk", "vv", "qk")


@dataclass(frozen=True)
class ClearCLIP:
    """P = softmax(q qᵀ / sqrt(d)), head by head, over all tokens; tokens = out_proj(P values).

    Args:
        pair: what is compared with what: qq (the paper's choice), kk, vv or qk.
    """

    pair: str = "qq"
    method: ClassVar[str] = "clearclip"
    guided: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.pair not in QKV_PAIRS:
            raise ValueError(f"Expected pair of clearclip to be one of {', '.join(QKV_PAIRS)}, but got {self.pair!r}")

    def __call__(
        self, block: Any, x: Tensor, grid: tuple[int, int], guide: Tensor | None
    ) -> tuple[Tensor, tuple[int, int]]:
        parts = dict(zip("qkv", compute_qkv(block, x), strict=True))
        weights = compute_attention_logits(*(parts[part] for part in self.pair)).softmax(-1)
        return mix_values(block, weights, parts["v"])[:, 1:], grid
