"""NACLIP: key-key attention with a Gaussian window around every patch.

Hajimiri, Ben Ayed and Dolz, "Pay Attention to Your Neighbours: Training-Free Open-Vocabulary Semantic Segmentation"
(arXiv 2404.08181).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from proxyclip.models.attention.proxy import Proxy
from proxyclip.models.layers.block import (
    Grid,
    compute_attention_logits,
    compute_qkv,
    mix_values,
    project_values,
    resize_tokens,
)


@dataclass(frozen=True)
class NACLIP:
    """Softmax(k kᵀ / sqrt(d) + w), w_ij = exp(-|p_i - p_j|² / (2 sigma²)).

    w is 0 for the class token. There is no residual connection and no MLP. With a VFM, which the paper does not have,
    the masked similarities of proxy attention replace k kᵀ, on the VFM's grid.

    Args:
        sigma: width of the window, in patches of CLIP.
        beta, gamma: of proxy attention, with a VFM only.
    """

    sigma: float = 5.0
    beta: float = 1.2
    gamma: float = 3.0
    method: ClassVar[str] = "naclip"
    guided: ClassVar[None] = None  # with or without a VFM

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise ValueError(f"Expected sigma of NACLIP's window to be above 0, but got {self.sigma}")

    def __call__(self, block: Any, x: Tensor, grid: Grid, guide: Tensor | None) -> tuple[Tensor, Grid]:
        if guide is None:
            _, k, v = compute_qkv(block, x)
            window = F.pad(self.window(grid, grid, x.device), (1, 0, 1, 0))
            return mix_values(block, (compute_attention_logits(k, k) + window).softmax(-1), v)[:, 1:], grid
        to = (guide.shape[2], guide.shape[3])
        values = resize_tokens(project_values(block, x), grid, to)
        scores = Proxy(self.beta, self.gamma).scores(guide) + self.window(to, grid, x.device)
        return scores.softmax(-1).to(values.dtype) @ values, to

    def window(self, grid: Grid, unit: Grid, device: torch.device) -> Tensor:
        """Gaussian weights (h*w, h*w) of cells of `grid`, distances in cells of `unit`."""
        axes = (
            torch.arange(count, dtype=torch.float32, device=device) * (cells / count)
            for count, cells in zip(grid, unit, strict=True)
        )
        positions = torch.cartesian_prod(*axes).reshape(-1, 2)
        return torch.exp(-torch.cdist(positions, positions).square() / (2 * self.sigma**2))
