"""Parameters of a trained model and FLOPs of its evaluation, part by part. No weights, no data and no GPU are needed.

What the parts are says the model's own `sizes`; how they are counted, `proxyclip/trained/outline.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mmseg.registry import MODELS
from torch import nn

from ... import choices
from ..model import TrainedSegmentor
from ..outline import Shape, fake


@dataclass(frozen=True)
class Part:
    """A part of a model: its parameters, and MACs of an evaluation of one image; None where only training has it."""

    name: str
    parameters: int
    trainable: int
    macs: int | None


@dataclass(frozen=True)
class Count:
    """What was counted for an image of `shape` (h, w), which the model looks at in `windows` of `window`."""

    model: str
    classes: int
    shape: Shape
    windows: int
    window: Shape
    parts: tuple[Part, ...]

    @property
    def total(self) -> Part:
        """The sum of all parts."""
        sums = (sum(getattr(part, key) or 0 for part in self.parts) for key in ("parameters", "trainable", "macs"))
        return Part("total", *sums)


def count(model: Mapping[str, Any], shape: Shape | None = None) -> Count:
    """Parameters and MACs of one image with all classes, in evaluation mode.

    Args:
        model: config of a model that is trained; `mmseg.registry.MODELS` has to know it.
        shape: (h, w) of the image after the test pipeline has resized it; default the training crop.

    Raises:
        ValueError: another model, or a shape that the model cannot take.
    """
    if not choices.describe_method(model).needs_checkpoint:
        raise ValueError(
            f"{model['type']} is not trained: expected a config of CLIP-RC or MaskCLIP+ below configs/trained, other "
            "than that of a teacher"
        )
    built: Any = MODELS.build(choices.buildable(model))
    if not isinstance(built, TrainedSegmentor):
        raise ValueError(f"Expected {type(built).__name__} to be a TrainedSegmentor, which says its `sizes`")
    h, w = shape or _crop(model)
    if h < 1 or w < 1:
        raise ValueError(f"Expected the shape of an image to be at least 1 x 1, but got {h} x {w}")
    trained = {id(weight) for weight in built.parameters() if weight.requires_grad}
    built.eval().requires_grad_(False)
    with fake():
        number, window, pieces = built.sizes((h, w))
        found = tuple(
            Part(name, _size(weights), _size(p for p in weights if id(p) in trained), macs and macs * number)
            for name, weights, macs in pieces
        )
    return Count(type(built).__name__, len(built.vocabulary), (h, w), number, window, found)


def _crop(model: Mapping[str, Any]) -> Shape:
    size = (model.get("data_preprocessor") or {}).get("size")
    if size is None:
        raise ValueError("The config has no crop, model.data_preprocessor.size: say --shape HEIGHT WIDTH")
    return tuple(size)


def _size(weights: Iterable[nn.Parameter]) -> int:
    return sum(weight.numel() for weight in weights)
