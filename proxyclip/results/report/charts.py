"""Geometry of the report's charts, which the templates draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from proxyclip.results.report.run_view import ClassRow, RunView
from proxyclip.visualization.figure import image_to_data_uri

MAX_SHOWN_CLASSES = 40  # that are listed before the reader asks for all
MAX_NUMBERED_CLASSES = 25  # of a matrix with numbers
MAX_NAMED_CLASSES = 60  # of a matrix with names
HISTOGRAM_BINS = 20
_MIN_HOVER_SHARE = 0.0005  # smallest share of a row that the page keeps for hovering over a large matrix


@dataclass(frozen=True)
class HistogramBar:
    """Bar of a histogram: ends in percent, height as a part of the highest bar."""

    low: float
    high: float
    count: int
    height: float


@dataclass(frozen=True)
class MatrixCell:
    """Cell of the confusion matrix: pixels; share of the row and shade in percent."""

    count: int
    share: float
    shade: float


@dataclass(frozen=True)
class ConfusedPair:
    """Pair of classes: `share` percent of the `truth` pixels were called `prediction`."""

    truth: str
    prediction: str
    count: int
    share: float


@dataclass(frozen=True)
class MatrixChart:
    """Confusion matrix: rows of cells, above MAX_NUMBERED_CLASSES an image."""

    names: list[str]
    cells: list[list[MatrixCell]] | None
    picture: str | None
    entries: list[list[int]]  # for hovering: prediction, count, prediction, count, ... of each label
    totals: list[int]

    @property
    def hover(self) -> dict[str, list[Any]]:
        """JSON-able data for the hover text of the page's script."""
        return {"names": self.names, "totals": self.totals, "entries": self.entries}

    @property
    def named(self) -> bool:
        return len(self.names) <= MAX_NAMED_CLASSES


def build_histogram(values: Sequence[float | None]) -> dict[str, Any] | None:
    """Count percentages in HISTOGRAM_BINS equal bins; None without any value."""
    numbers = np.array([value for value in values if value is not None])
    if not numbers.size:
        return None
    counts, edges = np.histogram(numbers.clip(0, 100), HISTOGRAM_BINS, (0, 100))
    bars = [
        HistogramBar(float(low), float(high), int(count), float(count / counts.max()))
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    return {
        "bars": bars,
        "max_count": int(counts.max()),
        "mean": float(numbers.mean()),
        "median": float(np.median(numbers)),
        "count": len(numbers),
        "undefined": len(values) - len(numbers),
    }


def build_matrix_chart(run: RunView) -> MatrixChart | None:
    """Build the row-normalized confusion matrix of a run; None without one."""
    counts = run.confusion
    if counts is None:
        return None
    totals = counts.sum(1)
    shares = counts / np.maximum(totals, 1)[:, None]
    shades = shares**0.6  # a confusion of 1 % must be seen beside a diagonal of 90 %
    names = [run.name(i) for i in range(len(counts))]
    if len(names) <= MAX_NUMBERED_CLASSES:
        cells = [
            [MatrixCell(*cell) for cell in zip(c.tolist(), (100 * s).tolist(), (100 * d).tolist(), strict=True)]
            for c, s, d in zip(counts, shares, shades, strict=True)
        ]
        return MatrixChart(names, cells, None, [], totals.tolist())
    entries = [
        np.stack([kept := np.flatnonzero(share >= _MIN_HOVER_SHARE), row[kept]], 1).ravel().tolist()
        for row, share in zip(counts, shares, strict=True)
    ]
    return MatrixChart(names, None, _render_shades(shades), entries, totals.tolist())


def list_confused_pairs(run: RunView, max_pairs: int = 25) -> list[ConfusedPair]:
    """List the pairs of different classes with the most pixels, largest first."""
    counts = run.confusion
    if counts is None:
        return []
    totals = counts.sum(1)
    off_diagonal = counts - np.diag(counts.diagonal())
    order = np.argsort(-off_diagonal, axis=None, kind="stable")[:max_pairs]
    pairs = [divmod(int(i), len(off_diagonal)) for i in order]
    return [
        ConfusedPair(run.name(t), run.name(p), int(off_diagonal[t, p]), float(100 * off_diagonal[t, p] / totals[t]))
        for t, p in pairs
        if off_diagonal[t, p]
    ]


def sort_by_iou(rows: Sequence[ClassRow]) -> list[ClassRow]:
    """Sort classes by IoU, highest first, undefined last."""
    return sorted(rows, key=lambda row: (row.iou is None, -(row.iou or 0), row.number))


def select_largest_classes(rows: Sequence[ClassRow], max_classes: int = MAX_SHOWN_CLASSES) -> list[ClassRow]:
    """Select the classes with the most labelled pixels, sorted by IoU."""
    return sort_by_iou(sorted(rows, key=lambda row: (-(row.pixels or 0), row.number))[:max_classes])


def _render_shades(shades: np.ndarray) -> str:
    """Render (K, K) values in 0..1 as a PNG of one color whose opacity is the value."""
    image = Image.fromarray(np.round(255 * shades.clip(0, 1)).astype(np.uint8))
    image.putpalette(bytes((8, 48, 107)) * 256)  # the dark end of the shades
    return image_to_data_uri(image, "png", transparency=bytes(range(256)), optimize=True)
