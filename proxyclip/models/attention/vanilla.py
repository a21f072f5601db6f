"""Plain CLIP: the last block unchanged, patch tokens kept.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (arXiv 2103.00020).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from proxyclip.models.layers.block import Grid


@dataclass(frozen=True)
class Vanilla:
    """Query-key attention with residual connection and MLP."""

    method: ClassVar[str] = "vanilla"
    guided: ClassVar[bool] = False

    def __call__(self, block: Any, x: Tensor, grid: Grid, guide: Tensor | None) -> tuple[Tensor, Grid]:
        return block(x)[:, 1:], grid
