"""What was found, and the latest of it on the server."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from ..api import Segmentation, Segmenter
from .models import Choice

KEPT, KEPT_PIXELS = 16, 120e6  # results on the server: how many, and how many pixels together


@dataclass(frozen=True, eq=False)
class Side:
    """One segmentation of the picture, with what made it and how many seconds it took, loading left out.

    `other`: class 0 has no words. `drawn` is where a view keeps what it has drawn.
    """

    choice: Choice
    segmenter: Segmenter
    found: Segmentation
    seconds: float
    other: bool = False
    drawn: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """What is known of one pixel: of each side class probabilities (K,), and attention (H, W) or None."""

    x: int
    y: int
    probabilities: list[np.ndarray]
    attention: list[np.ndarray | None]


class Shelf:
    """The latest results of everybody, under names nobody can guess."""

    def __init__(self, most: int = KEPT, pixels: float = KEPT_PIXELS) -> None:
        self.most, self.pixels = most, pixels
        self._kept: OrderedDict[str, list[Side]] = OrderedDict()

    def put(self, sides: list[Side]) -> str:
        """Keep a result, and let the oldest go where there are too many; the name it is found under."""
        name = secrets.token_urlsafe(16)
        self._kept[name] = sides
        while len(self._kept) > 1 and (len(self._kept) > self.most or self._size() > self.pixels):
            self._kept.popitem(last=False)
        return name

    def get(self, name: str) -> list[Side]:
        """Raises ValueError for a result that is no longer there."""
        if name not in self._kept:
            raise ValueError("This result is no longer kept on the server: press Segment again")
        return self._kept[name]

    def drop(self, name: str) -> None:
        """Forget a result."""
        self._kept.pop(name, None)

    def without(self, choice: Choice) -> None:
        """Forget the results of a model, which would keep its networks in memory."""
        for name, sides in list(self._kept.items()):
            if any(side.choice == choice for side in sides):
                self.drop(name)

    def _size(self) -> int:
        return sum(side.found.labels.size for sides in list(self._kept.values()) for side in sides)


def agreement(sides: list[Side]) -> float | None:
    """Percent of the pixels that get the same class on both sides; None of one side."""
    if len(sides) < 2:
        return None
    return 100 * float((sides[0].found.labels == sides[1].found.labels).mean())
