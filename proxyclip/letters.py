"""Letters in pictures: fonts that have the glyphs of a text, its width, and breaking it into lines."""

from __future__ import annotations

import shutil
import subprocess
import unicodedata
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

ELLIPSIS = "…"
_NONE = ("Cc", "Cs", "Co", "Cn")  # controls, halves of pairs, and what Unicode gives no character


def font(text: str, size: float, bold: bool = False) -> ImageFont.FreeTypeFont:
    """A font for a text, `size` pixels high: DejaVu Sans, or one of the system's where DejaVu lacks glyphs.

    Glyphs that no font of the system has become boxes.
    """
    path, index = _file("".join(sorted({c for c in text if ord(c) > 0x2FF})), bold)
    return _font(path, max(1, round(size)), index)


def clean(text: str) -> str:
    """A text on one line that can be drawn: line breaks, tabs and what is no character become spaces."""
    return " ".join("".join(" " if unicodedata.category(c) in _NONE else c for c in text).split())


def width(text: str, size: float, bold: bool = False) -> float:
    """Pixels from the left to the right of a text of one line."""
    return font(text, size, bold).getlength(text)


def lines(text: str, size: float, most: float, count: int = 6) -> list[str]:
    """A text in lines of at most `most` pixels, broken between words, in a word where it is too long by itself.

    At most `count` lines; the last then ends in an ellipsis.
    """
    found = [""]
    for word in clean(text).split(" "):
        joined = f"{found[-1]} {word}".strip()
        if width(joined, size) <= most:
            found[-1] = joined
            continue
        found += [word] if found[-1] else []
        found[-1] = found[-1] or word
        while width(found[-1], size) > most and len(found[-1]) > 1 and len(found) <= count:
            cut = next(i for i in range(len(found[-1]) - 1, 0, -1) if i == 1 or width(found[-1][:i], size) <= most)
            found[-1:] = [found[-1][:cut], found[-1][cut:]]
    return found if len(found) <= count else [*found[: count - 1], fitting(found[count - 1] + ELLIPSIS, size, most)]


def fitting(text: str, size: float, most: float) -> str:
    """The beginning of a text that `most` pixels hold, with an ellipsis where it is cut."""
    kept = text.rstrip(ELLIPSIS)
    if text == kept and width(text, size) <= most:
        return text
    while len(kept) > 1 and width(kept + ELLIPSIS, size) > most:
        kept = kept[:-1].rstrip()
    return kept + ELLIPSIS


@lru_cache(maxsize=64)
def _font(path: str, size: int, index: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size, index=index)


@lru_cache(maxsize=1024)
def _file(characters: str, bold: bool) -> tuple[str, int]:
    """Path and face of the font that has most of these characters, matplotlib's own DejaVu Sans at a tie."""
    import matplotlib

    own = Path(matplotlib.get_data_path(), "fonts/ttf", f"DejaVuSans{'-Bold' * bold}.ttf")
    missing = _missing(str(own), characters)
    found = _system(characters, bold) if missing else None
    return found if found and _missing(found[0], characters) < missing else (str(own), 0)


def _missing(path: str, characters: str) -> int:
    """How many of the characters the first face of a font file lacks; all of them where it cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        known = FT2Font(path).get_charmap()
    except (OSError, RuntimeError):
        return len(characters)
    return sum(ord(c) not in known for c in characters)


def _system(characters: str, bold: bool) -> tuple[str, int] | None:
    """Path and face of the font that fontconfig finds for these characters; None without fontconfig."""
    if not shutil.which("fc-match"):
        return None
    pattern = f"sans:charset={' '.join(f'{ord(c):x}' for c in characters)}{':bold' * bold}"
    try:
        done = subprocess.run(
            ["fc-match", "--format=%{file}\n%{index}", pattern], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    path, _, index = done.stdout.partition("\n")
    return path, int(index or 0) & 0xFFFF  # the upper bits say which of a variable font's instances
