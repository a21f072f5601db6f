"""Pictures of one segmentation, from arrays. All are (h, w, 3) uint8 RGB.

What has the size of the image is in `overlays.py`; here are the legend, and image, overlay and legend on one sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from .. import letters
from .overlays import heat, overlay, probability

__all__ = ["heat", "legend", "overlay", "picture", "probability", "shares"]

LEAST, MOST = 480, 4096  # longest side of a panel in pixels: smaller pictures are enlarged, larger ones reduced
INK, GREY, PAPER = (31, 41, 51), (128, 134, 142), (255, 255, 255)
_NAME = 16  # widest name in sizes of its letters; longer ones are broken into lines
_LINE = 1.35  # from line to line, in sizes
_COLUMNS = 4  # at most, beside a picture


class Entry(NamedTuple):
    """A line of a legend, of several lines where the name is long."""

    lines: list[str]
    colour: tuple[int, ...] | None
    share: str


def legend(
    names: Sequence[str],
    colours: np.ndarray,
    shares: Sequence[float] | np.ndarray,
    width: int | None = None,
    *,
    size: float = 15,
    height: int | None = None,
) -> np.ndarray:
    """The classes that occur with their colours and shares, largest first, and in grey how many others there are.

    Args:
        names: of the K classes; long ones are broken into lines.
        colours: (K, 3) uint8 RGB.
        shares: (K,) shares of the picture, from 0 to 1.
        width: pixels; as many columns as it holds. Default: as wide as the names need.
        size: of the letters in pixels.
        height: pixels; more columns are begun where the classes need more, four at most. It may be exceeded.
    """
    fixed = 3 * size + letters.width("100.0%", size)  # swatch, gaps and number
    most = _NAME * size if width is None else max(size, min(_NAME * size, width - fixed))
    entries = _entries(names, colours, np.asarray(shares, float), size, most)
    text = max(letters.width(line, size) - (0 if one.share else fixed) for one in entries for line in one.lines)
    wide, gap = int(np.ceil(min(most, max(text, size)) + fixed)), round(2 * size)
    heights = [round((len(entry.lines) - 1 + 1.3) * _LINE * size) for entry in entries]
    if width is not None:
        columns = _flow(heights, max(1, (width + gap) // (wide + gap)))
    else:
        needed = 1 if height is None else len(_greedy(heights, height))
        columns = _flow(heights, min(_COLUMNS, needed))
    high = max(sum(heights[i] for i in column) for column in columns)
    sheet = Image.new("RGB", (width or (wide + gap) * len(columns) - gap, high), PAPER)
    draw = ImageDraw.Draw(sheet)
    for x, column in enumerate(columns):
        y = 0
        for i in column:
            _line(draw, entries[i], x * (wide + gap), y, wide, size)
            y += heights[i]
    return np.array(sheet)


def picture(image: np.ndarray, labels: np.ndarray, names: Sequence[str], colours: np.ndarray) -> np.ndarray:
    """Image, overlay and legend under their titles: side by side, or one below the other where the image is wide.

    Small images are enlarged, those with a side above 4096 pixels are reduced.

    Args: see `overlay`.
    """
    areas = shares(labels, len(names))
    image, labels = _fit(image, labels)
    painted = overlay(image, labels, names, colours)
    h, w = labels.shape
    stacked = w > 2 * h
    size = max(14.0, w / 105 if stacked else max(2.6 * w / 115, h / 70))
    if stacked:
        entries = legend(names, colours, areas, w, size=size)
    else:
        entries = legend(names, colours, areas, size=size, height=round(1.1 * h))
    panels = {"Image": image, "Segmentation": painted, "Classes": entries}
    margin, bar = round(size), round(1.7 * size)
    cells = [(max(p.shape[1], round(letters.width(t, size, bold=True))), bar + p.shape[0]) for t, p in panels.items()]
    if stacked:
        whole = max(cw for cw, _ in cells), sum(ch for _, ch in cells) + 2 * margin
    else:
        whole = sum(cw for cw, _ in cells) + 2 * margin, max(ch for _, ch in cells)
    sheet = Image.new("RGB", (whole[0] + 2 * margin, whole[1] + 2 * margin), PAPER)
    draw, x, y = ImageDraw.Draw(sheet), margin, margin
    for (title, panel), (cw, ch) in zip(panels.items(), cells, strict=True):
        draw.text((x, y + bar / 2 - margin / 4), title, INK, letters.font(title, size, bold=True), anchor="lm")
        sheet.paste(Image.fromarray(panel), (x, y + bar))
        x, y = (x, y + ch + margin) if stacked else (x + cw + margin, y)
    return np.array(sheet)


def shares(labels: np.ndarray, classes: int) -> np.ndarray:
    """(K,) share of each class in all pixels, from 0 to 1."""
    counts = np.bincount(labels[(labels >= 0) & (labels < classes)], minlength=classes)
    return counts / max(1, labels.size)


def _entries(names: Sequence[str], colours: np.ndarray, shares: np.ndarray, size: float, most: float) -> list[Entry]:
    found = [int(i) for i in np.argsort(-shares, kind="stable") if shares[i] > 0]
    entries = [
        Entry(
            letters.lines(names[i], size, most),
            tuple(colours[i].tolist()),
            f"{shares[i]:.1%}" if shares[i] >= 5e-4 else "<0.1%",
        )
        for i in found
    ]
    others = len(names) - len(found)
    if others:
        text = f"{others} {'class' if others == 1 else 'classes'} not found"
        entries.append(Entry(letters.lines(text, size, most), None, ""))
    return entries or [Entry([""], None, "")]


def _line(draw: ImageDraw.ImageDraw, entry: Entry, x: int, y: int, wide: int, size: float) -> None:
    """One entry: swatch, name, and the share at the right."""
    middle = y + 0.65 * _LINE * size
    if entry.colour is not None:
        box = (x, middle - 0.5 * size, x + 1.4 * size, middle + 0.5 * size)
        draw.rounded_rectangle(box, 0.2 * size, entry.colour, GREY, max(1, round(size / 15)))
    left = x + 2 * size if entry.colour is not None else x
    ink = INK if entry.colour is not None else GREY
    for number, line in enumerate(entry.lines):
        draw.text((left, middle + number * _LINE * size), line, ink, letters.font(line, size), anchor="lm")
    draw.text((x + wide, middle), entry.share, ink, letters.font(entry.share, size), anchor="rm")


def _greedy(heights: Sequence[int], limit: float) -> list[list[int]]:
    """Indices of entries in columns of at most `limit` pixels, or of one entry."""
    columns: list[list[int]] = [[]]
    filled = 0
    for i, high in enumerate(heights):
        if columns[-1] and filled + high > limit:
            columns.append([])
            filled = 0
        columns[-1].append(i)
        filled += high
    return columns


def _flow(heights: Sequence[int], columns: int) -> list[list[int]]:
    """Indices of entries in at most `columns` columns that are about equally high."""
    limit = sum(heights) / columns
    while len(found := _greedy(heights, limit)) > columns:
        limit += min(heights)
    return found


def _fit(image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Image and labels in a size for looking at."""
    h, w = labels.shape
    times = max(1, round(LEAST / max(h, w)))
    scale = times if max(h, w) <= MOST else MOST / max(h, w)
    if scale == 1:
        return image, labels
    high, wide = max(1, round(scale * h)), max(1, round(scale * w))
    rows, columns = (np.arange(n) * old // n for n, old in ((high, h), (wide, w)))
    kind = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    return cv2.resize(image, (wide, high), interpolation=kind), labels[np.ix_(rows, columns)]
