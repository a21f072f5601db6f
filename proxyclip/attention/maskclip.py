"""MaskCLIP: every patch attends to itself alone, the last block reduced to its value path.

Zhou, Loy and Dai, "Extract Free Dense Labels from CLIP" (arXiv 2112.01071).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from ._parts import projected_values


@dataclass(frozen=True)
class MaskCLIP:
    """tokens = out_proj(values): no residual, no MLP."""

    guided: ClassVar[bool] = False

    def __call__(
        self, block: Any, x: Tensor, grid: tuple[int, int], guide: Tensor | None
    ) -> tuple[Tensor, tuple[int, int]]:
        return projected_values(block, x), grid
