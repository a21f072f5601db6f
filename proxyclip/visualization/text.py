"""Text in images: fonts, line wrapping, and class names on large regions."""

import contextlib
import subprocess
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import ImageFont

ELLIPSIS = "…"
_UNPRINTABLE = ("Cc", "Cs", "Co", "Cn")  # Unicode categories: controls, surrogates, private use, not assigned
_MIN_REGION_SHARE = 0.012  # of the image; smaller regions are not named


class RegionLabel(NamedTuple):
    """Class name at its middle x and base line y; these and the size are in pixels."""

    text: str
    x: float
    y: float
    size: float


def find_font(text: str, size: float, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Find a font for a text, `size` pixels high.

    It is DejaVu Sans, or one of the system's if DejaVu lacks glyphs; those that none has become boxes.
    """
    path, index = _find_font_file("".join(sorted({c for c in text if ord(c) > 0x2FF})), bold)
    return _load_font(path, max(1, round(size)), index)


def printable_text(text: str) -> str:
    """Replace line breaks, tabs and unprintable characters by single spaces."""
    return " ".join("".join(" " if unicodedata.category(c) in _UNPRINTABLE else c for c in text).split())


def measure_text(text: str, size: float, bold: bool = False) -> float:
    """Measure the width in pixels of a text of one line."""
    return find_font(text, size, bold).getlength(text)


def wrap_text(text: str, size: float, max_width: float, max_lines: int = 6) -> list[str]:
    """Break a text into lines of at most `max_width` pixels.

    A word is broken only if it is too long for a line. With more than `max_lines` lines, the last ends in an ellipsis.
    """
    lines = [""]
    for word in printable_text(text).split(" "):
        joined = f"{lines[-1]} {word}".strip()
        if measure_text(joined, size) <= max_width:
            lines[-1] = joined
            continue
        lines += [word] if lines[-1] else []
        lines[-1] = lines[-1] or word
        while measure_text(lines[-1], size) > max_width and len(lines[-1]) > 1 and len(lines) <= max_lines:
            lengths = range(len(lines[-1]) - 1, 0, -1)
            cut = next(n for n in lengths if n == 1 or measure_text(lines[-1][:n], size) <= max_width)
            lines[-1:] = [lines[-1][:cut], lines[-1][cut:]]
    if len(lines) <= max_lines:
        return lines
    return [*lines[: max_lines - 1], truncate_text(lines[max_lines - 1] + ELLIPSIS, size, max_width)]


def truncate_text(text: str, size: float, max_width: float) -> str:
    """Cut a text to `max_width` pixels, with an ellipsis."""
    start = text.rstrip(ELLIPSIS)
    if text == start and measure_text(text, size) <= max_width:
        return text
    while len(start) > 1 and measure_text(start + ELLIPSIS, size) > max_width:
        start = start[:-1].rstrip()
    return start + ELLIPSIS


def shorten_class_name(name: str, max_length: int = 16) -> str:
    """Return the first synonym of a class name, cut if it is still too long."""
    first = name.split(",")[0].split(";")[0].strip() or name
    return first if len(first) <= max_length else f"{first[: max_length - 1].rstrip()}{ELLIPSIS}"


def place_region_labels(
    labels: np.ndarray,
    scored: np.ndarray,
    names: Mapping[int, str],
    size: float | None = None,
    measure: Callable[[str], float] | None = None,
) -> list[RegionLabel]:
    """Place the names of the large regions, far from their edges, without overlaps.

    Args:
        labels: (H, W) class indices.
        scored: (H, W) mask of the pixels that may be named.
        names: of every class that occurs.
        size: of the letters in pixels of `labels`. Default: a share of its longer side.
        measure: width of a text in pixels of `labels`. Default: an estimate for bold letters.
    """
    h, w = labels.shape
    size = size or 0.043 * max(h, w)
    placed: list[tuple[RegionLabel, float]] = []
    for _, depth, x, y, class_id in sorted(_find_large_regions(labels, scored), reverse=True):
        text = shorten_class_name(names[class_id])
        half = measure(text) / 2 if measure else 0.33 * size * len(text)
        x = min(max(x, half), max(w - half, half))
        overlaps = (abs(x - other.x) < half + width and abs(y - other.y) < size for other, width in placed)
        if depth > 0.5 * size and half < 3.5 * depth and 2 * half <= w and not any(overlaps):
            placed.append((RegionLabel(text, round(x, 1), round(y, 1), round(size, 1)), half))
    return [label._replace(y=round(label.y + 0.35 * size, 1)) for label, _ in placed]


def _find_large_regions(labels: np.ndarray, scored: np.ndarray) -> Iterator[tuple[int, float, float, float, int]]:
    """Yield area, depth, center (x, y) and class of each large connected region."""
    min_area = _MIN_REGION_SHARE * labels.size
    classes, areas = np.unique(labels[scored], return_counts=True)
    for class_id in classes[areas >= min_area].tolist():
        mask = ((labels == class_id) & scored).astype(np.uint8)
        count, components, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        for component in range(1, count):
            left, top, w, h, area = stats[component].tolist()
            if area >= min_area:
                inside = components[top : top + h, left : left + w] == component
                depth = cv2.distanceTransform(np.pad(inside.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
                deepest = np.argwhere(depth > 0.95 * depth.max())
                y, x = deepest[((deepest - deepest.mean(0)) ** 2).sum(1).argmin()].tolist()
                yield area, float(depth.max()), float(left + x), float(top + y), class_id


@lru_cache(maxsize=64)
def _load_font(path: str, size: int, index: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size, index=index)


@lru_cache(maxsize=1024)
def _find_font_file(characters: str, bold: bool) -> tuple[str, int]:
    """Path and face of matplotlib's DejaVu Sans, or of fontconfig's font if better."""
    import matplotlib

    dejavu = str(Path(matplotlib.get_data_path(), "fonts/ttf", f"DejaVuSans{'-Bold' * bold}.ttf"))
    missing = _count_missing(dejavu, characters)
    if missing:
        pattern = f"sans:charset={' '.join(f'{ord(c):x}' for c in characters)}{':bold' * bold}"
        command = ["fc-match", "--format=%{file}\n%{index}", pattern]
        with contextlib.suppress(OSError, subprocess.SubprocessError):  # without fontconfig, the former
            output = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
            path, _, index = output.partition("\n")
            if _count_missing(path, characters) < missing:
                return path, int(index or 0) & 0xFFFF  # the upper bits name an instance of a variable font
    return dejavu, 0


def _count_missing(path: str, characters: str) -> int:
    """Number of characters the first face of a font file lacks, all if unreadable."""
    from matplotlib.ft2font import FT2Font

    try:
        glyphs = FT2Font(path).get_charmap()
    except (OSError, RuntimeError):
        return len(characters)
    return sum(ord(c) not in glyphs for c in characters)
