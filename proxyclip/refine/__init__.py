"""From score maps to labels, over optional steps: one step, one file; the file name, or a path ending in .py,
is its name in a config.

The contract, all of it:

    step(maps, image) -> maps
        maps   float32 of the whole image, not changed in place; what they are, the step says by its attribute `on`:
               "scores"         cosine similarity to every name, before the softmax (names, H0, W0)
               "probabilities"  of every class, after the softmax (classes, H0, W0)
        image  (3, H, W), the CLIP-normalised image they were computed from, of a size of its own

What a step returns has the same shape. A step is a frozen dataclass with `__call__`: its fields are its
hyper-parameters, its repr goes into the result record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import plugins


def build_steps(specs: str | dict[str, Any] | Sequence[str | dict[str, Any]] | None) -> tuple[Any, ...]:
    """The steps of a config, in order: each a name or `dict(type=name, **options)`; one needs no list; none is none.

    Raises:
        ValueError: unknown name, or a step on scores after one on probabilities. TypeError: unknown option.
    """
    several = [specs] if isinstance(specs, (str, dict)) else specs or []
    steps = tuple(plugins.build("refine", spec) for spec in several if spec != "none")
    order = [step.on for step in steps]
    if order != sorted(order, reverse=True):
        raise ValueError(f"Expected steps on scores before those on probabilities, but got {list(steps)}")
    return steps


def decide(
    strips: Iterable[Tensor],
    classify: Callable[[Tensor], Tensor],
    label: Callable[[Tensor], Tensor],
    image: Tensor,
    steps: Sequence[Any],
    threshold: float,
    keep: bool,
) -> tuple[Tensor, Tensor | None]:
    """Labels (H0, W0) int64: each pixel's best class, or class 0 where its probability is below `threshold`.

    Without steps, and unless `keep` asks for them, no map of the whole image is ever in memory.

    Args:
        strips: score maps (names, rows, W0), from the top of the image.
        classify: scores (names, rows, W0) -> class probabilities (classes, rows, W0).
        label: scores -> labels (rows, W0), the best class or class 0: the shorter way, where nobody asks for
            probabilities.
        image: what `steps` are given with the maps.

    Returns:
        The labels, and with `keep` the probabilities (classes, H0, W0) after all steps.
    """
    early = [step for step in steps if step.on == "scores"]
    late = [step for step in steps if step.on != "scores"]
    if early:
        strips = _refined(strips, image, early)
    if not (late or keep):
        return torch.cat([label(strip) for strip in strips]), None
    whole = torch.cat([classify(strip) for strip in strips], 1)
    for step in late:
        whole = step(whole, image)
    return best_class(whole, threshold), whole if keep else None


def _refined(strips: Iterable[Tensor], image: Tensor, steps: Sequence[Any]) -> Iterator[Tensor]:
    """Score maps after `steps`, in strips again, so that what follows needs no more memory than without them."""
    parts = list(strips)
    whole, rows = torch.cat(parts, 1), parts[0].shape[1]
    del parts
    for step in steps:
        whole = step(whole, image)
    yield from whole.split(rows, 1)


def best_class(probabilities: Tensor, threshold: float) -> Tensor:
    """Best class of probabilities (classes, H, W), or class 0 where that is below `threshold`: (H, W) int64."""
    best, label = probabilities.max(0)
    return label.masked_fill_(best < threshold, 0)
