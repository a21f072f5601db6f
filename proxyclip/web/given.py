"""Pictures that somebody gives: files that were sent, and drawn scenes."""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image

from ..api.images import as_rgb
from ..tinyworld import scenes

MEGAPIXELS = 40  # largest picture
TINY_WORDS = "; ".join(scenes.CLASSES)
EXAMPLES = ((21, 0), (2, 5), (2, 17), (7, 3))  # scenes of the tiny world: seed and number


@dataclass(frozen=True)
class Picture:
    """A picture somebody gave: its name, and the file as it came."""

    name: str
    data: bytes


def picture(path: str | Path) -> Picture:
    """A file that was uploaded.

    Raises:
        OSError, ValueError: a file that is no picture, is damaged, or has too many pixels.
    """
    place = Path(path)
    given = Picture(re.sub(r"[^\w.-]+", "_", place.stem)[:80] or "image", place.read_bytes())
    pixels(given)
    return given


def example(number: int) -> Picture:
    """A drawn scene of the tiny world as a picture."""
    if not 0 <= number < len(EXAMPLES):
        raise ValueError(f"Expected an example from 0 to {len(EXAMPLES) - 1}, but got {number}")
    file = io.BytesIO()
    PIL.Image.fromarray(scenes.scene(*EXAMPLES[number]).image).save(file, "PNG")
    return Picture(f"scene_{number + 1}", file.getvalue())


def example_words(number: int) -> str:
    """The classes of an example, as somebody would type them."""
    return "; ".join(scenes.scene(*EXAMPLES[number]).contents)


def pixels(given: Picture) -> np.ndarray:
    """(H, W, 3) uint8 RGB; the size is looked at before anything is decoded.

    Raises:
        OSError, ValueError: as `picture`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PIL.Image.open(io.BytesIO(given.data)) as file:
                width, height = file.size
    except PIL.Image.DecompressionBombError:
        raise ValueError(f"The picture has more than {MEGAPIXELS} megapixels: reduce it first") from None
    except (OSError, SyntaxError, ValueError):
        raise ValueError("This file cannot be read as a picture: give a JPEG, PNG, WebP or TIFF") from None
    if width * height > MEGAPIXELS * 1e6:
        raise ValueError(
            f"The picture has {width} x {height} pixels, {width * height / 1e6:.0f} megapixels, but at most "
            f"{MEGAPIXELS} can be segmented here: reduce it first"
        )
    try:
        return as_rgb(given.data)
    except OSError as error:
        reason = str(error).removeprefix("the given bytes").lstrip(": ")
        raise ValueError(f"The picture {given.name} {reason}") from None
