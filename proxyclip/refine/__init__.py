"""From class probabilities to labels, over optional steps: one step, one file; the file name is its name in a config.

The contract, all of it:

    step(probabilities, image) -> probabilities
        probabilities  (classes, H0, W0) float32 of the whole image; not changed in place
        image          (3, H, W), the CLIP-normalised image they were computed from, of a size of its own

What a step returns has the same shape, and the labels are decided from it. A step is a frozen dataclass with
`__call__`: its fields are its hyper-parameters, its repr goes into the result record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import plugins


def build_steps(specs: str | dict[str, Any] | Sequence[str | dict[str, Any]] | None) -> tuple[Any, ...]:
    """The steps of a config, in order: each a name or `dict(type=name, **options)`; one needs no list.

    Raises:
        ValueError: unknown name. TypeError: unknown option.
    """
    several = [specs] if isinstance(specs, (str, dict)) else specs or []
    return tuple(plugins.build("refine", spec) for spec in several)


def decide(
    strips: Iterable[Tensor], image: Tensor, steps: Sequence[Any], threshold: float, keep: bool
) -> tuple[Tensor, Tensor | None]:
    """Labels (H0, W0) int64: each pixel's best class, or class 0 where its probability is below `threshold`.

    Without steps, and unless `keep` asks for them, the probabilities of the whole image are never in memory.

    Args:
        strips: class probabilities (classes, rows, W0), from the top of the image.
        image: what `steps` are given with them.

    Returns:
        The labels, and with `keep` the probabilities (classes, H0, W0) after all steps.
    """
    if not (steps or keep):
        return torch.cat([_best(strip, threshold) for strip in strips]), None
    whole = torch.cat(list(strips), 1)
    for step in steps:
        whole = step(whole, image)
    return _best(whole, threshold), whole if keep else None


def _best(probabilities: Tensor, threshold: float) -> Tensor:
    best, label = probabilities.max(0)
    return label.masked_fill_(best < threshold, 0)
