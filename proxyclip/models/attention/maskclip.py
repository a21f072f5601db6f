"""MaskCLIP: every patch attends to itself alone.

Zhou, Loy and Dai, "Extract Free Dense Labels from CLIP" (arXiv 2112.01071).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from proxyclip.models.layers.block import Grid, add_residual_and_mlp, project_values


@dataclass(frozen=True)
class MaskCLIP:
    """The value path of the last block: tokens = out_proj(values).

    Key smoothing and prompt denoising work on scores: they are options of `MaskCLIPSegmentation`.

    Args:
        residual: keep residual connection and MLP, as MaskCLIP's own code; the comparisons of later papers do not.
    """

    residual: bool = False
    method: ClassVar[str] = "maskclip"
    guided: ClassVar[bool] = False

    def __call__(self, block: Any, x: Tensor, grid: Grid, guide: Tensor | None) -> tuple[Tensor, Grid]:
        values = project_values(block, x)
        return add_residual_and_mlp(block, x[:, 1:], values) if self.residual else values, grid
