"""Label maps as small embedded pictures: colours that colour-blind readers can tell apart, and hatching."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from proxyclip.palette import PALETTE

PHOTO = 512  # longest side of an embedded photograph
RIGHT, WRONG = "#ccd8e6", "#d55e00"
HATCH = ("#8a8f98", "#c3c7cd")
_OPAQUE, _VEIL = 205, 190  # of 255: classes and errors over the photograph; the right pixels of an error map


def label_map(labels: np.ndarray, scored: np.ndarray, places: Mapping[int, int]) -> str:
    """(H, W) class indices -> PNG in the colours of `places`; what is not `scored` is hatched."""
    lookup = np.zeros(int(labels.max()) + 1, np.uint8)
    for one, slot in places.items():
        if one < len(lookup):
            lookup[one] = slot
    painted = np.where(scored, lookup[labels], _hatching(labels.shape, len(PALETTE)))
    return _png(painted, [*PALETTE, *HATCH], [_OPAQUE] * len(PALETTE) + [255, 255])


def error_map(wrong: np.ndarray, scored: np.ndarray) -> str:
    """(H, W) masks -> PNG: right pixels under a pale veil, wrong ones vermilion, the others hatched."""
    painted = np.where(scored, wrong.astype(np.uint8), _hatching(wrong.shape, 2))
    return _png(painted, [RIGHT, WRONG, *HATCH], [_VEIL, _OPAQUE, 255, 255])


def photograph(path: Path) -> tuple[str, tuple[int, int]]:
    """A picture file as WebP of at most PHOTO pixels a side, and its own (h, w). Raises OSError."""
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file).convert("RGB")
    h, w = image.height, image.width
    image.thumbnail((PHOTO, PHOTO))
    return data_uri(image, "webp", quality=76, method=4), (h, w)


def read_labels(path: Path, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """A label map as (H, W) class indices, 0 where nothing is scored, and the mask of what is. Raises OSError."""
    with Image.open(path) as file:
        labels = np.asarray(file)
    if labels.ndim != 2 or labels.dtype.kind not in "ui":
        raise OSError(f"a label map has one channel of whole numbers, this has {labels.shape} {labels.dtype}")
    scored = (labels >= 0) & (labels != (255 if labels.dtype == np.uint8 else 65535))
    if classes:
        scored &= labels < classes
    return np.where(scored, labels, 0).astype(np.int32), scored


def data_uri(image: Image.Image, kind: str, **options: Any) -> str:
    """A picture as a data URI; `kind` is png, webp or jpeg."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}"


def _hatching(shape: tuple[int, ...], first: int) -> np.ndarray:
    y, x = np.indices(shape, sparse=True)
    step = max(3, max(shape) // 70)
    return (first + ((x + y) // step) % 2).astype(np.uint8)


def _png(indices: np.ndarray, colours: list[str], opacity: list[int]) -> str:
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette(b"".join(bytes.fromhex(colour[1:]) for colour in colours))
    return data_uri(image, "png", transparency=bytes(opacity), optimize=True)
