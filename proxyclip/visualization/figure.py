"""Figures of image, label maps and legend, legends alone, and data URIs.

Drawings are (h, w, 3) uint8 RGB; those of the image's size are in `overlay.py`.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from proxyclip.visualization.overlay import draw_overlay
from proxyclip.visualization.text import find_font, measure_text, wrap_text

MIN_PANEL_SIDE = 480  # longest side of a panel in pixels: smaller images are enlarged
MAX_PANEL_SIDE = 4096  # larger ones are reduced
LEGEND_TEXT_COLOR = (31, 41, 51)
LEGEND_MUTED_COLOR = (128, 134, 142)
FIGURE_BACKGROUND = (255, 255, 255)
_MAX_NAME_WIDTH = 16  # in sizes of the letters; longer names are broken into lines
_LINE_HEIGHT = 1.35  # in sizes of the letters
_MAX_COLUMNS = 4  # beside an image


class LegendEntry(NamedTuple):
    """Entry of a legend, of several lines if the name is long."""

    lines: list[str]
    color: tuple[int, ...] | None
    share: str


def draw_legend(
    names: Sequence[str],
    colors: np.ndarray,
    shares: Sequence[float] | np.ndarray | None = None,
    width: int | None = None,
    *,
    size: float = 15,
    height: int | None = None,
) -> np.ndarray:
    """Draw a legend: color, name and share of classes, the largest first.

    Classes that do not occur are counted in gray.

    Args:
        names: of the K classes; long ones are broken into lines.
        colors: (K, 3) uint8 RGB.
        shares: (K,) shares of the image, from 0 to 1. Default: all classes in their order, without numbers.
        width: pixels; as many columns as it holds. Default: as wide as the names need.
        size: of the letters in pixels.
        height: pixels above which more columns are used, four at most.
    """
    fixed = 2 * size if shares is None else 3 * size + measure_text("100.0%", size)  # swatch, gaps and number
    max_width = _MAX_NAME_WIDTH * size if width is None else max(size, min(_MAX_NAME_WIDTH * size, width - fixed))
    entries = _make_entries(names, colors, shares, size, max_width)
    text_width = max(measure_text(line, size) - (0 if e.color else fixed) for e in entries for line in e.lines)
    column_width = int(np.ceil(min(max_width, max(text_width, size)) + fixed))
    gap = round(2 * size)
    heights = [round((len(entry.lines) - 1 + 1.3) * _LINE_HEIGHT * size) for entry in entries]
    if width is not None:
        count = max(1, (width + gap) // (column_width + gap))
    else:
        count = 1 if height is None else min(_MAX_COLUMNS, len(_fill_columns(heights, height)))
    columns = _balance_columns(heights, count)
    sheet_height = max(sum(heights[i] for i in column) for column in columns)
    sheet_width = width or (column_width + gap) * len(columns) - gap
    sheet = Image.new("RGB", (sheet_width, sheet_height), FIGURE_BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for number, column in enumerate(columns):
        y = 0
        for i in column:
            _draw_entry(draw, entries[i], number * (column_width + gap), y, column_width, size)
            y += heights[i]
    return np.array(sheet)


def draw_figure(image: np.ndarray, labels: np.ndarray, names: Sequence[str], colors: np.ndarray) -> np.ndarray:
    """Draw image, overlay and legend side by side, or stacked if the image is wide.

    Small images are enlarged, those with a side above 4096 pixels are reduced. For the arguments see `draw_overlay`.
    """
    shares = compute_class_shares(labels, len(names))
    image = resize_to_range(image, MIN_PANEL_SIDE, MAX_PANEL_SIDE)
    labels = _resize_labels(labels, image.shape[:2])
    panels = {"Image": image, "Segmentation": draw_overlay(image, labels, names, colors)}
    h, w = labels.shape
    if w > 2 * h:
        size = max(14.0, w / 105)
        panels["Classes"] = draw_legend(names, colors, shares, w, size=size)
        return _arrange_panels([{title: panel} for title, panel in panels.items()], size)
    size = _panel_text_size(h, w)
    panels["Classes"] = draw_legend(names, colors, shares, size=size, height=round(1.1 * h))
    return _arrange_panels([panels], size)


def draw_comparison(
    image: np.ndarray, label_maps: Mapping[str, np.ndarray], names: Sequence[str], colors: np.ndarray
) -> np.ndarray:
    """Draw an image and label maps side by side, over a legend of all their classes.

    Args:
        image: (H, W, 3) uint8 RGB, resized as by `draw_figure`.
        label_maps: title -> (h, w) class indices; pixels of no class are darkened.
        names: of the K classes.
        colors: (K, 3) uint8 RGB.
    """
    image = resize_to_range(image, MIN_PANEL_SIDE, MAX_PANEL_SIDE)
    h, w = image.shape[:2]
    size = _panel_text_size(h, w)
    panels = {"Image": image}
    for title, labels in label_maps.items():
        panels[title] = draw_overlay(image, _resize_labels(labels, (h, w)), names, colors)
    present = sorted(set().union(*map(np.unique, label_maps.values())) & set(range(len(names))))
    legend = draw_legend([names[i] for i in present], colors[present], width=w * len(panels), size=size)
    return _arrange_panels([panels, {"Classes": legend}], size)


def compute_class_shares(labels: np.ndarray, classes: int) -> np.ndarray:
    """Compute the share (K,) of each class in all pixels, from 0 to 1."""
    counts = np.bincount(labels[(labels >= 0) & (labels < classes)], minlength=classes)
    return counts / max(1, labels.size)


def resize_to_range(values: np.ndarray, min_side: int, max_side: int) -> np.ndarray:
    """Resize an image or a map until its longer side is in a range.

    Enlargements are by a whole number.

    Args:
        values: (H, W, 3), interpolated, or (H, W), of which pixels are taken.
        min_side, max_side: pixels; the first is reached up to rounding of the factor.
    """
    h, w = values.shape[:2]
    scale = max(1, round(min_side / max(h, w))) if max(h, w) <= max_side else max_side / max(h, w)
    if scale == 1:
        return values
    size = max(1, round(scale * h)), max(1, round(scale * w))
    if values.ndim == 2:
        return _resize_labels(values, size)
    return cv2.resize(values, size[::-1], interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)


def image_to_data_uri(image: Image.Image, kind: str, **options: Any) -> str:
    """Encode an image as a data URI.

    Args:
        kind: png, webp or jpeg.
        options: those of `Image.save`.
    """
    file = io.BytesIO()
    image.save(file, kind, **options)
    return make_data_uri(file.getvalue(), f"image/{kind}")


def make_data_uri(data: bytes, media_type: str) -> str:
    """Encode the content of a file as a data URI."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _panel_text_size(h: int, w: int) -> float:
    return max(14.0, 2.6 * w / 115, h / 70)


def _resize_labels(labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Resize an (H, W) map to the nearest pixels."""
    rows, columns = (np.arange(new) * old // new for new, old in zip(shape, labels.shape, strict=True))
    return labels[np.ix_(rows, columns)]


def _arrange_panels(rows: Sequence[Mapping[str, np.ndarray]], size: float) -> np.ndarray:
    """Arrange rows of panels by title on a sheet; `size` is the titles' in pixels."""
    margin = round(size)
    bar = round(1.7 * size)
    cells = [
        [(max(p.shape[1], round(measure_text(title, size, bold=True))), bar + p.shape[0]) for title, p in row.items()]
        for row in rows
    ]
    width = max(sum(w for w, _ in row) + margin * (len(row) + 1) for row in cells)
    height = sum(max(h for _, h in row) for row in cells) + margin * (len(rows) + 1)
    sheet = Image.new("RGB", (width, height), FIGURE_BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    y = margin
    for row, row_cells in zip(rows, cells, strict=True):
        x = margin
        for (title, panel), (w, _) in zip(row.items(), row_cells, strict=True):
            font = find_font(title, size, bold=True)
            draw.text((x, y + bar / 2 - margin / 4), title, LEGEND_TEXT_COLOR, font, anchor="lm")
            sheet.paste(Image.fromarray(panel), (x, y + bar))
            x += w + margin
        y += max(h for _, h in row_cells) + margin
    return np.array(sheet)


def _make_entries(
    names: Sequence[str], colors: np.ndarray, shares: Sequence[float] | np.ndarray | None, size: float, max_width: float
) -> list[LegendEntry]:
    texts = dict.fromkeys(range(len(names)), "")
    if shares is not None:
        order = [int(i) for i in np.argsort(-np.asarray(shares, float), kind="stable") if shares[i] > 0]
        texts = {i: f"{shares[i]:.1%}" if shares[i] >= 5e-4 else "<0.1%" for i in order}
    entries = [
        LegendEntry(wrap_text(names[i], size, max_width), tuple(colors[i].tolist()), text) for i, text in texts.items()
    ]
    others = len(names) - len(entries)
    if others:
        text = f"{others} {'class' if others == 1 else 'classes'} not found"
        entries.append(LegendEntry(wrap_text(text, size, max_width), None, ""))
    return entries or [LegendEntry([""], None, "")]


def _draw_entry(draw: ImageDraw.ImageDraw, entry: LegendEntry, x: int, y: int, width: int, size: float) -> None:
    """Draw an entry: swatch, name, and the share at the right."""
    middle = y + 0.65 * _LINE_HEIGHT * size
    text_color = LEGEND_MUTED_COLOR
    left: float = x
    if entry.color is not None:
        text_color = LEGEND_TEXT_COLOR
        left += 2 * size
        box = (x, middle - 0.5 * size, x + 1.4 * size, middle + 0.5 * size)
        draw.rounded_rectangle(box, 0.2 * size, entry.color, LEGEND_MUTED_COLOR, max(1, round(size / 15)))
    for number, line in enumerate(entry.lines):
        draw.text((left, middle + number * _LINE_HEIGHT * size), line, text_color, find_font(line, size), anchor="lm")
    draw.text((x + width, middle), entry.share, text_color, find_font(entry.share, size), anchor="rm")


def _fill_columns(heights: Sequence[int], limit: float) -> list[list[int]]:
    """Distribute entries over columns of at most `limit` pixels, or of one entry."""
    columns: list[list[int]] = [[]]
    filled = 0
    for i, height in enumerate(heights):
        if columns[-1] and filled + height > limit:
            columns.append([])
            filled = 0
        columns[-1].append(i)
        filled += height
    return columns


def _balance_columns(heights: Sequence[int], count: int) -> list[list[int]]:
    """Distribute entries over at most `count` columns of about equal height."""
    limit = sum(heights) / count
    while len(columns := _fill_columns(heights, limit)) > count:
        limit += min(heights)
    return columns
