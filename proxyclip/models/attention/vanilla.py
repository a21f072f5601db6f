"""CLIP as it is: the last block unchanged (residual, MLP, query-key attention), patch tokens kept.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (arXiv 2103.00020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor


@dataclass(frozen=True)
class Vanilla:
    """Plain CLIP."""

    method: ClassVar[str] = "vanilla"
    guided: ClassVar[bool] = False

    def __call__(
        self, block: Any, x: Tensor, grid: tuple[int, int], guide: Tensor | None
    ) -> tuple[Tensor, tuple[int, int]]:
        return block(x)[:, 1:], grid
