"""ClearCLIP: query-query attention, without residual connection and MLP.

Lan et al., "ClearCLIP: Decomposing CLIP Representations for Dense Vision-Language Inference" (arXiv 2407.12442).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from proxyclip.models.layers.block import Grid, add_residual_and_mlp, compute_attention_logits, compute_qkv, mix_values

QKV_PAIRS = ("qq", "kk", "vv", "qk")


@dataclass(frozen=True)
class ClearCLIP:
    """Softmax(q qᵀ / sqrt(d)) over all tokens, head by head.

    Args:
        pair: the compared projections: qq (the paper's choice), kk, vv or qk.
        residual: keep the residual connection and the MLP, as in the paper's ablation.
    """

    pair: str = "qq"
    residual: bool = False
    method: ClassVar[str] = "clearclip"
    guided: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.pair not in QKV_PAIRS:
            raise ValueError(f"Expected pair of clearclip to be one of {', '.join(QKV_PAIRS)}, but got {self.pair!r}")

    def __call__(self, block: Any, x: Tensor, grid: Grid, guide: Tensor | None) -> tuple[Tensor, Grid]:
        projections = dict(zip("qkv", compute_qkv(block, x), strict=True))
        weights = compute_attention_logits(*(projections[name] for name in self.pair)).softmax(-1)
        tokens = mix_values(block, weights, projections["v"])
        return (add_residual_and_mlp(block, x, tokens) if self.residual else tokens)[:, 1:], grid
