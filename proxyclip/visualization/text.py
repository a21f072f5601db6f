"""Text in images: fonts with the glyphs of a text, line wrapping, and class names on large regions."""

from __future__ import annotations

import shutil
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
    """A class name to draw; x is its middle, y its base line, both and the size in pixels."""

    text: str
    x: float
    y: float
    size: float


def find_font(text: str, size: float, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Font for a text, `size` pixels high: DejaVu Sans, or one of the system's where DejaVu lacks glyphs.

    Glyphs that no font of the system has become boxes.
    """
    path, index = _find_font_file("".join(sorted({c for c in text if ord(c) > 0x2FF})), bold)
    return _load_font(path, max(1, round(size)), index)


def printable_text(text: str) -> str:
    """Text on one line that can be drawn: line breaks, tabs and unprintable characters become spaces."""
    return " ".join("".join(" " if unicodedata.category(c) in _UNPRINTABLE else c for c in text).split())


def measure_text(text: str, size: float, bold: bool = False) -> float:
    """Width in pixels of a text of one line."""
    return find_font(text, size, bold).getlength(text)


def wrap_text(text: str, size: float, max_width: float, max_lines: int = 6) -> list[str]:
    """Text in lines of at most `max_width` pixels, broken between words, or inside one that is too long by itself.

    With more than `max_lines` lines the last one ends in an ellipsis.
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
    """Beginning of a text that fits into `max_width` pixels, with an ellipsis where it is cut."""
    start = text.rstrip(ELLIPSIS)
    if text == start and measure_text(text, size) <= max_width:
        return text
    while len(start) > 1 and measure_text(start + ELLIPSIS, size) > max_width:
        start = start[:-1].rstrip()
    return start + ELLIPSIS


def shorten_class_name(name: str, max_length: int = 16) -> str:
    """First synonym of a class name, cut where it is still too long."""
    first = name.split(",")[0].split(";")[0].strip() or name
    return first if len(first) <= max_length else f"{first[: max_length - 1].rstrip()}{ELLIPSIS}"


def place_region_labels(
    labels: np.ndarray,
    scored: np.ndarray,
    names: Mapping[int, str],
    size: float | None = None,
    measure: Callable[[str], float] | None = None,
) -> list[RegionLabel]:
    """Names of the large regions, largest first, each as far from the edge as can be; none over another.

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
    """Area, depth, x and y of the middle of the deepest part, and class of each large connected region."""
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
                y, x = _find_center(depth > 0.95 * depth.max())
                yield area, float(depth.max()), float(left + x), float(top + y), class_id


def _find_center(mask: np.ndarray) -> tuple[int, int]:
    """(y, x) of the pixel of a mask that is nearest to the mean of all of them."""
    pixels = np.argwhere(mask)
    y, x = pixels[((pixels - pixels.mean(0)) ** 2).sum(1).argmin()].tolist()
    return y, x


@lru_cache(maxsize=64)
def _load_font(path: str, size: int, index: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size, index=index)


@lru_cache(maxsize=1024)
def _find_font_file(characters: str, bold: bool) -> tuple[str, int]:
    """Path and face of the font with the most of these characters, matplotlib's own DejaVu Sans at a tie."""
    import matplotlib

    dejavu = str(Path(matplotlib.get_data_path(), "fonts/ttf", f"DejaVuSans{'-Bold' * bold}.ttf"))
    missing = _count_missing(dejavu, characters)
    system = _find_system_font(characters, bold) if missing else None
    return system if system and _count_missing(system[0], characters) < missing else (dejavu, 0)


def _count_missing(path: str, characters: str) -> int:
    """Number of characters the first face of a font file lacks; all of them where it cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        glyphs = FT2Font(path).get_charmap()
    except (OSError, RuntimeError):
        return len(characters)
    return sum(ord(c) not in glyphs for c in characters)


def _find_system_font(characters: str, bold: bool) -> tuple[str, int] | None:
    """Path and face of fontconfig's font for these characters; None without fontconfig."""
    if not shutil.which("fc-match"):
        return None
    pattern = f"sans:charset={' '.join(f'{ord(c):x}' for c in characters)}{':bold' * bold}"
    command = ["fc-match", "--format=%{file}\n%{index}", pattern]
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    path, _, index = output.partition("\n")
    return path, int(index or 0) & 0xFFFF  # the upper bits name an instance of a variable font
