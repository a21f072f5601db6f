"""Refinement steps on score or probability maps, one a file.

The file name, or a path ending in .py, is the name of a step in a config; `proxyclip.models.sliding.postprocess`
applies them. The contract, all of it:

    step(maps, image) -> maps
        maps   float32 of the whole image, not changed in place; the attribute `on` of the step selects them:
               "scores"         cosine similarity to every name, before the softmax (names, H0, W0)
               "probabilities"  of every class, after the softmax (classes, H0, W0)
        image  (3, H, W), the CLIP-normalized image they were computed from, of a size of its own

The result has the same shape. A step is a frozen dataclass with `__call__`: its fields are its hyper-parameters, its
repr is in the result record.
"""

from collections.abc import Sequence
from typing import Any

from proxyclip.models.registry import build_plugin


def build_refine_steps(specs: str | dict[str, Any] | Sequence[str | dict[str, Any]] | None) -> tuple[Any, ...]:
    """Build the steps of a config, in order.

    Args:
        specs: names or `dict(type=name, **options)`; one of them needs no list; the name `none` is skipped.

    Raises:
        ValueError: unknown name, or a step on scores after one on probabilities. TypeError: unknown option.
    """
    items = [specs] if isinstance(specs, (str, dict)) else specs or []
    steps = tuple(build_plugin("refine", spec) for spec in items if spec != "none")
    order = [step.on for step in steps]
    if order != sorted(order, reverse=True):
        raise ValueError(f"Expected steps on scores before those on probabilities, but got {list(steps)}")
    return steps
