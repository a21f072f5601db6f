"""Image files: whether they are whole, and how large they are. Pillow judges, whatever reads the pixels later."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from proxyclip.data.files.errors import CorruptFile, FileIssue

EXIF_ORIENTATION = 274  # the EXIF tag; 1 means upright


@dataclass(frozen=True)
class ImageInfo:
    """What a file says of itself; `size` is (height, width) as stored, not turned by the EXIF tag."""

    size: tuple[int, int]
    mode: str
    format: str
    orientation: int = 1


def verify_image(data: bytes, path: str | Path) -> ImageInfo:
    """Decode an image to its end.

    OpenCV returns a picture for a JPEG that is cut off, in some versions without a word. Bytes changed inside a JPEG
    are noticed by no decoder. Pillow warns of odd metadata; callers may want to filter that.

    Raises:
        Damaged: (an OSError) empty, no picture, or cut short; the message names the file and says what to do.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            turned = int(image.getexif().get(EXIF_ORIENTATION, 1) or 1)
            image.load()
            return ImageInfo(image.size[::-1], image.mode, image.format or "?", turned)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        remedy = "get that file again, as a whole JPEG or PNG"
        raise CorruptFile(FileIssue("damaged image", str(path), explain_decode_error(data, error), remedy)) from error


def explain_decode_error(data: bytes, error: BaseException) -> str:
    """Why `data` cannot be read as a picture, in a few words."""
    start = data[:200].lstrip().lower()
    if not data:
        return "is empty"
    if start.startswith(b"version https://git-lfs"):
        return "is a git-lfs pointer, not the picture (git lfs pull gets it)"
    if start.startswith((b"<!doctype", b"<html")):
        return "is a web page, not a picture"
    said = " ".join(str(error).split()) or type(error).__name__
    return "cannot be read (it is no picture)" if "cannot identify" in said else f"cannot be read ({said})"
