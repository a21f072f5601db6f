"""Results as data addresses, which a page shows and a browser saves without asking for another file."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable

import cv2
import numpy as np
import PIL.Image

from ..api import Segmentation, drawing, files
from .results import Side

LEAST, MOST = 720, 1400  # longest side in pixels of what is shown; smaller pictures are enlarged by a whole number
LABELS = 512  # longest side of the label map a browser gets


def once(side: Side, what: str, draw: Callable[[Segmentation], str]) -> str:
    """What was drawn of a side before, or else is drawn now."""
    if what not in side.drawn:
        side.drawn[what] = draw(side.found)
    return side.drawn[what]


def overlay(side: Side) -> str:
    """The classes in their colours over the picture, with their names."""

    def draw(found: Segmentation) -> str:
        image, classes = fit(found.image), fit(found.labels)
        return jpeg(drawing.overlay(image, classes, found.names, found.colours, alpha=0.7))

    return once(side, "overlay", draw)


def heat(image: np.ndarray, looks: np.ndarray, point: tuple[int, int]) -> str:
    """Where the patch under a point (x, y) looks. looks: (H, W), NaN outside of its window."""
    shown = fit(image)
    (h, w), (high, wide) = image.shape[:2], shown.shape[:2]
    at = int((point[0] + 0.5) * wide / w), int((point[1] + 0.5) * high / h)
    return jpeg(drawing.heat(shown, fit(looks), at))


def mask(found: Segmentation) -> str:
    """The labels as a PNG of the picture's full size."""
    file = io.BytesIO()
    found.mask().save(file, "PNG")
    return address(file.getvalue(), "png")


def coco(found: Segmentation) -> str:
    """What `Segmentation.save` writes as JSON."""
    return address(files.json_text(found).encode(), "json")


def fit(values: np.ndarray) -> np.ndarray:
    """Pictures, or single values when (H, W), in the size they are shown in."""
    h, w = values.shape[:2]
    times = max(1, round(LEAST / max(h, w)))
    scale = times if times > 1 else min(1.0, MOST / max(h, w))
    if scale == 1:
        return values
    high, wide = max(1, round(scale * h)), max(1, round(scale * w))
    if values.ndim == 2:
        rows, columns = (np.arange(n) * old // n for n, old in ((high, h), (wide, w)))
        return values[np.ix_(rows, columns)]
    return cv2.resize(values, (wide, high), interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)


def indices(labels: np.ndarray) -> str:
    """A label map that a browser reads: the index in red, and its upper byte in green."""
    h, w = labels.shape
    step = -(-max(h, w) // LABELS)
    small = labels[::step, ::step]
    code = np.stack([small & 255, small >> 8, np.zeros_like(small)], -1).astype(np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(code).save(file, "PNG")
    return address(file.getvalue(), "png")


def jpeg(rgb: np.ndarray) -> str:
    """A picture (H, W, 3) as it is shown."""
    file = io.BytesIO()
    PIL.Image.fromarray(rgb).save(file, "JPEG", quality=88)
    return address(file.getvalue(), "jpeg")


def address(data: bytes, kind: str) -> str:
    """The data address of a file. kind: png, jpeg or json."""
    family = "application" if kind == "json" else "image"
    return f"data:{family}/{kind};base64,{base64.b64encode(data).decode()}"
