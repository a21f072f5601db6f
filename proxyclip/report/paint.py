"""Label maps as small embedded pictures: colours that colour-blind readers can tell apart, hatching, and names."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps

PHOTO = 512  # longest side of an embedded photograph
# Okabe and Ito's colours, then those of Paul Tol's schemes that are not too near to them; neighbours differ.
PALETTE = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#56b4e9", "#d55e00", "#332288",
    "#bbcc33", "#882255", "#44aa99", "#ee8866", "#77aadd", "#117733", "#ffaabb", "#999933",
    "#aa4499", "#99ddff", "#cc6677", "#ddcc77", "#6a51a3", "#8c510a", "#a6dba0", "#364b9a",
)  # fmt: skip
RIGHT, WRONG = "#ccd8e6", "#d55e00"
HATCH = ("#8a8f98", "#c3c7cd")
_OPAQUE, _VEIL = 205, 190  # of 255: classes and errors over the photograph; the right pixels of an error map
_SMALL = 0.012  # share of the picture below which a region is not named


class Word(NamedTuple):
    """A class name to write into a picture; x, y and size in its pixels."""

    text: str
    x: float
    y: float
    size: float


def slots(classes: Iterable[int]) -> dict[int, int]:
    """Class -> place in PALETTE: its number modulo the length, or the next that is free among these classes."""
    found: dict[int, int] = {}
    free = list(range(len(PALETTE)))
    for one in sorted(classes):
        wanted = one % len(PALETTE)
        if free and wanted not in free:
            wanted = next((slot for slot in free if slot > wanted), free[0])
        found[one] = wanted
        if wanted in free:
            free.remove(wanted)
    return found


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


def words(labels: np.ndarray, scored: np.ndarray, names: Mapping[int, str]) -> list[Word]:
    """The names of the large regions, largest first, each at the point farthest from the edge; none over another."""
    h, w = labels.shape
    size, found = 0.043 * max(h, w), list[Word]()
    for _, depth, x, y, one in sorted(_regions(labels, scored), reverse=True):
        text = short(names[one])
        half = _half(text, size)
        x = min(max(x, half), max(w - half, half))
        near = (abs(x - other.x) < half + _half(other.text, size) and abs(y - other.y) < size for other in found)
        if depth > 0.5 * size and half < 3.5 * depth and not any(near):
            found.append(Word(text, round(x, 1), round(y, 1), round(size, 1)))
    return [word._replace(y=round(word.y + 0.35 * size, 1)) for word in found]


def _regions(labels: np.ndarray, scored: np.ndarray) -> Iterator[tuple[int, float, float, float, int]]:
    """Area, depth, x and y of the deepest point, and class of each connected region that is not small."""
    for one in np.unique(labels[scored]).tolist():
        mask = ((labels == one) & scored).astype(np.uint8)
        count, parts, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        for part in range(1, count):
            area = int(stats[part, cv2.CC_STAT_AREA])
            if area >= _SMALL * labels.size:
                inside = np.pad((parts == part).astype(np.uint8), 1)
                depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1]
                y, x = divmod(int(depth.argmax()), labels.shape[1])
                yield area, float(depth.max()), float(x), float(y), one


def _half(text: str, size: float) -> float:
    """About half of the width of a word in bold letters of a size."""
    return 0.33 * size * len(text)


def short(name: str, most: int = 16) -> str:
    """A class name short enough to write into a picture: the first of several synonyms, cut where still too long."""
    first = name.split(",")[0].split(";")[0].strip() or name
    return first if len(first) <= most else f"{first[: most - 1].rstrip()}…"


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
