"""Refinement steps on score maps, probability maps or labels, one a file.

The file name, or a path ending in .py, is the name of a step in a config; `proxyclip.models.sliding.postprocess`
applies them. The contract, all of it:

    step(maps, image) -> maps
        maps   of the whole image, not changed in place; the attribute `on` of the step selects them:
               "scores"         cosine similarity to every name, before the softmax (names, H0, W0) float32
               "probabilities"  of every class, after the softmax (classes, H0, W0) float32
               "labels"         after the threshold (H0, W0), integers
        image  (3, H, W), the CLIP-normalized image they were computed from, of a size of its own

The result has the same shape. A step is a frozen dataclass with `__call__`: its fields are its hyper-parameters, its
repr is in the result record.
"""

import ast
import re
from collections.abc import Sequence
from typing import Any

from proxyclip.models.registry import build_plugin

STAGES = ("scores", "probabilities", "labels")  # in their order
_SPEC_WITH_OPTIONS = re.compile(r"(.+?):(\w+=[^:]+(?::\w+=[^:]+)*)")


def build_refine_steps(specs: str | dict[str, Any] | Sequence[str | dict[str, Any]] | None) -> tuple[Any, ...]:
    """Build the steps of a config, in order.

    Args:
        specs: names or `dict(type=name, **options)`; one of them needs no list; the name `none` is skipped. A name may
            have its options behind it: `regions:min_region=400:min_hole=50`.

    Raises:
        ValueError: unknown name, or a step before one on an earlier stage. TypeError: unknown option.
    """
    items = [specs] if isinstance(specs, (str, dict)) else specs or []
    steps = tuple(build_plugin("refine", parse_step(spec)) for spec in items if spec != "none")
    unknown = [step for step in steps if step.on not in STAGES]
    if unknown:
        raise ValueError(f"Expected steps on one of {', '.join(STAGES)}, but got {unknown[0]} on {unknown[0].on!r}")
    if sorted(steps, key=lambda step: STAGES.index(step.on)) != list(steps):
        raise ValueError(
            f"Expected steps on scores before those on probabilities, and these before those on labels, but got "
            f"{list(steps)}"
        )
    return steps


def parse_step(spec: str | dict[str, Any]) -> dict[str, Any]:
    """Parse a step, `name` or `name:key=value:key=value`, to a dict with `type`."""
    if not isinstance(spec, str):
        return dict(spec)
    match = _SPEC_WITH_OPTIONS.fullmatch(spec)
    if match is None:
        return dict(type=spec)
    options: dict[str, Any] = dict(type=match[1])
    for assignment in match[2].split(":"):
        key, value = assignment.split("=", 1)
        try:
            options[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[key] = value
    return options
