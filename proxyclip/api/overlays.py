"""Arrays of one picture as colours of its size: overlay, attention and probability. All (H, W, 3) uint8 RGB."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from .. import letters, naming

DARK, LIGHT = (16, 21, 28), (255, 255, 255)
_PLACING = 512  # longest side in pixels of the copy on which names are placed
_LINE = 1.6  # height of a line in sizes of its letters, halo and stacked accents included


def overlay(
    image: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    colours: np.ndarray,
    alpha: float = 0.6,
    write: bool = True,
) -> np.ndarray:
    """Classes in their colours over an image, a thin line between them, and names on the larger regions.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) class indices; pixels of no class are darkened.
        names: of the K classes.
        colours: (K, 3) uint8 RGB.
        alpha: 0 shows the image, 1 the colours only; what shines through is the greyer the more there is of them.
        write: names; one is left out where it has no room.

    Raises:
        ValueError: shapes that do not go together, or an alpha outside of 0 to 1.
    """
    _check(image, labels)
    if len(names) != len(colours) or not 0 <= alpha <= 1:
        raise ValueError(
            f"Expected a colour for each name and an alpha from 0 to 1, but got {len(names)} names, "
            f"{len(colours)} colours and alpha {alpha}"
        )
    known = (labels >= 0) & (labels < len(colours))
    colours = np.vstack([colours, [0, 0, 0]]).astype(np.uint8)
    indices = np.where(known, labels, len(names)).astype(np.intp)
    below = cv2.addWeighted(np.ascontiguousarray(image), 1 - alpha, _grey(image), alpha, 0)  # so that colours stay true
    painted = cv2.addWeighted(below, 1 - alpha, colours[indices], alpha, 0)
    if not known.all():
        painted[~known] = image[~known] // 3
    _outline(painted, indices, colours)
    return _write(painted, indices, known, names) if write else painted


def _grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def heat(image: np.ndarray, values: np.ndarray, point: tuple[int, int]) -> np.ndarray:
    """An attention map as colours from black (none) over red to yellow (most), over the image in grey.

    The brightest colour is what one pixel of 200 of the window exceeds, so that a single peak does not hide the rest.

    Args:
        image: (H, W, 3) uint8 RGB.
        values: (H, W), not negative; NaN outside of the window, which is framed.
        point: (x, y) in pixels of the place that attends, marked with a cross.

    Raises:
        ValueError: shapes that do not go together, or a point outside of the image.
    """
    _check(image, values)
    (h, w), (x, y) = values.shape, point
    if not (0 <= x < w and 0 <= y < h):
        raise ValueError(f"Expected a point inside of the image, 0 <= x < {w} and 0 <= y < {h}, but got ({x}, {y})")
    x0, y0, x1, y1 = _box(np.isfinite(values))
    inside = np.s_[y0:y1, x0:x1]
    cut = np.asarray(values[inside], np.float32)
    top = float(np.percentile(cut, 99.5)) or float(cut.max()) or 1.0
    grey = _grey(image)
    painted = cv2.addWeighted(grey, 0.4, np.full_like(grey, 255), 0.25, 0)
    painted[inside] = cv2.addWeighted(grey[inside], 0.4, _map(cut / top, cv2.COLORMAP_INFERNO), 0.7, 0)
    frame, line = (max(1, round(np.sqrt(h * w) / part)) for part in (400, 220))
    drawn = Image.fromarray(painted)
    draw = ImageDraw.Draw(drawn)
    draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=LIGHT, width=frame)
    long, gap = 6 * line + 4, 2 * line
    for colour, wide, more in ((DARK, 3 * line, line), (LIGHT, line, 0)):
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            ends = [(x + dx * r, y + dy * r) for r in (gap - more, long + more)]
            draw.line(ends, fill=colour, width=wide)
    return np.array(drawn)


def probability(values: np.ndarray) -> np.ndarray:
    """(H, W) probabilities from 0 (dark blue) over green to 1 (yellow); the scale does not depend on the picture."""
    if values.ndim != 2:
        raise ValueError(f"Expected probabilities of shape (H, W), but got {values.shape}")
    return _map(values, cv2.COLORMAP_VIRIDIS)


def _check(image: np.ndarray, over: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.shape[:2] != over.shape:
        raise ValueError(
            f"Expected an image (H, W, 3) uint8 and an (H, W) array of its size, but got {image.shape} {image.dtype} "
            f"and {over.shape}"
        )


def _outline(painted: np.ndarray, labels: np.ndarray, colours: np.ndarray) -> None:
    """Lines between classes, in place: light between dark colours, dark between light ones."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] = labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    y, x = np.nonzero(edge)
    below, right = np.minimum(y + 1, len(labels) - 1), np.minimum(x + 1, labels.shape[1] - 1)
    brightness = colours @ np.array([0.299, 0.587, 0.114])
    around = np.stack([brightness[labels[at]] for at in ((y, x), (below, x), (y, right))])
    bright = around.min(0) + around.max(0) > 240
    thick = np.ones((max(1, round(np.sqrt(labels.size) / 500)),) * 2, np.uint8)
    for colour, some in ((DARK, bright), (LIGHT, ~bright)):
        line = np.zeros(labels.shape, np.uint8)
        line[y[some], x[some]] = 1
        painted[cv2.dilate(line, thick) > 0] = colour


def _write(painted: np.ndarray, labels: np.ndarray, known: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Names in light letters with a dark halo, placed on a reduced copy."""
    h, w = labels.shape
    step = -(-max(h, w) // _PLACING)
    size = max(11, round(0.036 * np.sqrt(h * w)))
    halo = max(1, round(size / 9))
    places = naming.words(
        labels[::step, ::step],
        known[::step, ::step],
        {i: letters.clean(name) for i, name in enumerate(names)},
        _LINE * size / step + 1,  # the pixels of the copy are coarse
        lambda text: (letters.width(text, size, bold=True) + 2 * halo) / step + 3,
    )
    drawn = Image.fromarray(painted)
    draw = ImageDraw.Draw(drawn)
    for word in places:
        kind = letters.font(word.text, size, bold=True)
        x0, y0, x1, y1 = draw.textbbox((0, 0), word.text, kind, "ls", stroke_width=halo)
        x = round((word.x + 0.5) * step - (x0 + x1) / 2)
        y = round((word.y - 0.35 * word.size + 0.5) * step - (y0 + y1) / 2)
        draw.text((x, y), word.text, LIGHT, kind, "ls", stroke_width=halo, stroke_fill=DARK)
    return np.array(drawn)


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The smallest (x0, y0, x1, y1) that holds all of a mask; the whole where there is nothing."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0, 0, mask.shape[1], mask.shape[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _map(values: np.ndarray, kind: int) -> np.ndarray:
    """Numbers from 0 to 1 in the colours of one of OpenCV's maps."""
    levels = np.round(255 * np.clip(np.nan_to_num(values), 0, 1)).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels, kind)[..., ::-1])
