"""The geometry of the report's charts, in numbers: the templates draw them, and escape what they write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from proxyclip.report.data import ClassRow, Run
from proxyclip.report.paint import data_uri

SHOWN = 40  # classes that are listed before the reader asks for all
NUMBERED, NAMED = 25, 60  # most classes of a matrix with numbers, and with names
BINS = 20
INK = (8, 48, 107)  # the dark end of the matrix's shades
_TOLD = 0.0005  # smallest share of a row that the page keeps for hovering over a large matrix


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram; from and to in percent, height as a part of the highest."""

    low: float
    high: float
    count: int
    height: float


@dataclass(frozen=True)
class Cell:
    """A cell of the confusion matrix: pixels, share of the row in percent, and the depth of its shade in percent."""

    count: int
    share: float
    shade: float


@dataclass(frozen=True)
class Confusion:
    """`share` percent of the pixels labelled `truth` were called `prediction`."""

    truth: str
    prediction: str
    count: int
    share: float


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix to draw: rows of cells up to NUMBERED classes, above that a picture with a pixel a cell."""

    names: list[str]
    cells: list[list[Cell]] | None
    picture: str | None
    entries: list[list[int]]  # for hovering: prediction, count, prediction, count, ... of each label
    totals: list[int]

    @property
    def hover(self) -> dict[str, list[Any]]:
        """What the page's script needs to tell a cell of the picture."""
        return {"names": self.names, "totals": self.totals, "entries": self.entries}

    @property
    def named(self) -> bool:
        return len(self.names) <= NAMED


def histogram(values: Sequence[float | None]) -> dict[str, Any] | None:
    """Counts of percentages in BINS equal bins, with mean and median; None where there is no value."""
    known = np.array([value for value in values if value is not None])
    if not known.size:
        return None
    counts, edges = np.histogram(known.clip(0, 100), BINS, (0, 100))
    bars = [
        Bar(float(low), float(high), int(count), float(count / counts.max()))
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    return {
        "bars": bars,
        "most": int(counts.max()),
        "mean": float(known.mean()),
        "median": float(np.median(known)),
        "count": len(known),
        "undefined": len(values) - len(known),
    }


def matrix(run: Run) -> Matrix | None:
    """The row-normalised confusion matrix of a run, or None where its record has none."""
    counts = run.confusion
    if counts is None:
        return None
    totals = counts.sum(1)
    shares = counts / np.maximum(totals, 1)[:, None]
    shades = shares**0.6  # a confusion of 1 % must be seen beside a diagonal of 90 %
    names = [run.name(i) for i in range(len(counts))]
    if len(names) <= NUMBERED:
        cells = [
            [Cell(*cell) for cell in zip(c.tolist(), (100 * s).tolist(), (100 * d).tolist(), strict=True)]
            for c, s, d in zip(counts, shares, shades, strict=True)
        ]
        return Matrix(names, cells, None, [], totals.tolist())
    entries = [
        np.stack([kept := np.flatnonzero(share >= _TOLD), row[kept]], 1).ravel().tolist()
        for row, share in zip(counts, shares, strict=True)
    ]
    return Matrix(names, None, _picture(shades), entries, totals.tolist())


def confusions(run: Run, most: int = 25) -> list[Confusion]:
    """The pairs of different classes with the most pixels, largest first."""
    counts = run.confusion
    if counts is None:
        return []
    totals, off = counts.sum(1), counts - np.diag(counts.diagonal())
    order = np.argsort(-off, axis=None, kind="stable")[:most]
    pairs = [divmod(int(i), len(off)) for i in order]
    return [
        Confusion(run.name(t), run.name(p), int(off[t, p]), float(100 * off[t, p] / totals[t]))
        for t, p in pairs
        if off[t, p]
    ]


def by_iou(rows: Sequence[ClassRow]) -> list[ClassRow]:
    """Highest IoU first; classes without one last."""
    return sorted(rows, key=lambda row: (row.iou is None, -(row.iou or 0), row.number))


def largest(rows: Sequence[ClassRow], most: int = SHOWN) -> list[ClassRow]:
    """The classes with the most labelled pixels, by IoU."""
    return by_iou(sorted(rows, key=lambda row: (-(row.pixels or 0), row.number))[:most])


def _picture(shades: np.ndarray) -> str:
    """(K, K) in 0..1 -> a PNG of one ink whose opacity is the value."""
    image = Image.fromarray(np.round(255 * shades.clip(0, 1)).astype(np.uint8))
    image.putpalette(bytes(INK) * 256)
    return data_uri(image, "png", transparency=bytes(range(256)), optimize=True)
