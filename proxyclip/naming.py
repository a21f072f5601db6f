"""Class names in pictures: which regions are named, and where the names stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import cv2
import numpy as np

_SMALL = 0.012  # share of the picture below which a region is not named


class Word(NamedTuple):
    """A class name to write into a picture; x is its middle, y its base line, both and the size in pixels."""

    text: str
    x: float
    y: float
    size: float


def words(
    labels: np.ndarray,
    scored: np.ndarray,
    names: Mapping[int, str],
    size: float | None = None,
    width: Callable[[str], float] | None = None,
) -> list[Word]:
    """The names of the large regions, largest first, each as far from the edge as can be; none over another.

    Args:
        labels: (H, W) class indices.
        scored: (H, W) mask of the pixels that may be named.
        names: of every class that occurs.
        size: of the letters in pixels of `labels`; a share of its longer side where none is given.
        width: of a text in pixels of `labels`; an estimate for bold letters where none is given.
    """
    h, w = labels.shape
    size, found = size or 0.043 * max(h, w), list[tuple[Word, float]]()
    for _, depth, x, y, one in sorted(_regions(labels, scored), reverse=True):
        text = short(names[one])
        half = width(text) / 2 if width else 0.33 * size * len(text)
        x = min(max(x, half), max(w - half, half))
        near = (abs(x - other.x) < half + its and abs(y - other.y) < size for other, its in found)
        if depth > 0.5 * size and half < 3.5 * depth and 2 * half <= w and not any(near):
            found.append((Word(text, round(x, 1), round(y, 1), round(size, 1)), half))
    return [word._replace(y=round(word.y + 0.35 * size, 1)) for word, _ in found]


def short(name: str, most: int = 16) -> str:
    """A class name short enough to write into a picture: the first of several synonyms, cut where still too long."""
    first = name.split(",")[0].split(";")[0].strip() or name
    return first if len(first) <= most else f"{first[: most - 1].rstrip()}…"


def _regions(labels: np.ndarray, scored: np.ndarray) -> Iterator[tuple[int, float, float, float, int]]:
    """Area, depth, x and y of the middle of the deepest part, and class of each connected region that is not small."""
    least = _SMALL * labels.size
    classes, areas = np.unique(labels[scored], return_counts=True)
    for one in classes[areas >= least].tolist():
        mask = ((labels == one) & scored).astype(np.uint8)
        count, parts, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        for part in range(1, count):
            left, top, w, h, area = stats[part].tolist()
            if area >= least:
                inside = np.pad((parts[top : top + h, left : left + w] == part).astype(np.uint8), 1)
                depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1]
                y, x = _middle(depth > 0.95 * depth.max())
                yield area, float(depth.max()), float(left + x), float(top + y), one


def _middle(mask: np.ndarray) -> tuple[int, int]:
    """(y, x) of the pixel of a mask that is nearest to the middle of all of them."""
    places = np.argwhere(mask)
    best = ((places - places.mean(0)) ** 2).sum(1).argmin()
    return int(places[best, 0]), int(places[best, 1])
