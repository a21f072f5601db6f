"""MaskCLIP: every patch attends to itself alone, the last block reduced to its value path.

Zhou, Loy and Dai, "Extract Free Dense Labels from CLIP" (arXiv 2112.01071).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from proxyclip.models.layers.block import add_residual_and_mlp, project_values


@dataclass(frozen=True)
class MaskCLIP:
    """tokens = out_proj(values).

    Key smoothing and prompt denoising work on scores, not on tokens: they are options of the segmentor
    `MaskCLIPSegmentation`.

    Args:
        residual: keep the residual connection and the MLP, as MaskCLIP's own code does. The comparisons of later
            papers leave them out.
    """

    residual: bool = False
    method: ClassVar[str] = "maskclip"
    guided: ClassVar[bool] = False

    def __call__(
        self, block: Any, x: Tensor, grid: tuple[int, int], guide: Tensor | None
    ) -> tuple[Tensor, tuple[int, int]]:
        values = project_values(block, x)
        return add_residual_and_mlp(block, x[:, 1:], values) if self.residual else values, grid
