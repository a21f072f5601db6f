"""Integrity and size of image files, by Pillow, whatever reads the pixels later."""

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from proxyclip.data.files.errors import CorruptFile, FileIssue

EXIF_ORIENTATION = 274  # the EXIF tag; 1 means upright


@dataclass(frozen=True)
class ImageInfo:
    """Properties of an image file; `size` is (height, width) without EXIF orientation."""

    size: tuple[int, int]
    mode: str
    format: str
    orientation: int = 1


def verify_image(data: bytes, path: str | Path) -> ImageInfo:
    """Decode an image to its end.

    OpenCV returns pixels for a truncated JPEG, in some versions without an error. Bytes changed inside a JPEG are
    noticed by no decoder. Pillow warns of odd metadata; callers may want to filter that.

    Raises:
        CorruptFile: (an OSError) empty, no image, or truncated; the message has the file and a remedy.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            orientation = int(image.getexif().get(EXIF_ORIENTATION, 1) or 1)
            image.load()
            return ImageInfo(image.size[::-1], image.mode, image.format or "?", orientation)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        remedy = "get that file again, as a whole JPEG or PNG"
        raise CorruptFile(FileIssue("damaged image", str(path), explain_decode_error(data, error), remedy)) from error


def explain_decode_error(data: bytes, error: BaseException) -> str:
    """Short reason that `data` cannot be read as an image."""
    start = data[:200].lstrip().lower()
    if not data:
        return "is empty"
    if start.startswith(b"version https://git-lfs"):
        return "is a git-lfs pointer, not the picture (git lfs pull gets it)"
    if start.startswith((b"<!doctype", b"<html")):
        return "is a web page, not a picture"
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"cannot be read ({'it is no picture' if 'cannot identify' in reason else reason})"
