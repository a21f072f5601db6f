"""Pixels and properties of image files: one decoder for pages, pipelines, checks."""

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from proxyclip.data.files.brightness import reduce_file_values
from proxyclip.data.files.errors import CorruptFile, FileIssue, InvalidFile, UnusableFile
from proxyclip.data.files.foreign_formats import RAW, SCIENCE
from proxyclip.data.files.image_files import (
    DAMAGE_REMEDY,
    apply_orientation,
    check_image_size,
    convert_to_rgb,
    count_pictures,
    explain_decode_error,
    has_whole_chunks,
    make_decode_error,
    open_image,
)
from proxyclip.data.files.tiff_pages import CIELAB, YCBCR, TiffPage, is_tiff, read_tiff_pages
from proxyclip.data.files.wide_values import read_tiff_values, read_wide_values

__all__ = ["ImageInfo", "apply_orientation", "decode_rgb", "explain_decode_error", "verify_image"]

EXIF_ORIENTATION = 274  # the EXIF tag; 1 means upright
MAX_WEBP_SIDE = 16384  # in pixels
OPENCV_FORMATS = ("JPEG", "MPO", "PNG", "BMP", "WEBP")  # whose 8-bit pixels are OpenCV's, as in published numbers


@dataclass(frozen=True)
class ImageInfo:
    """Properties of an image file; `size` is (height, width) without EXIF orientation.

    Attributes:
        orientation: EXIF's, 1 to 8; 1 for a TIFF, whose pixels are turned when they are decoded.
        frames: pictures in the file, of which the first is read.
        notes: what its user should know.
    """

    size: tuple[int, int]
    mode: str
    format: str
    orientation: int = 1
    frames: int = 1
    notes: tuple[FileIssue, ...] = ()


def decode_rgb(
    data: bytes, path: str | Path, *, stretch: bool = False, max_megapixels: float | None = None
) -> tuple[np.ndarray, ImageInfo]:
    """Decode an image file to (H, W, 3) uint8 RGB, not turned by EXIF; alpha is dropped.

    Of 16 bits the upper 8 are taken. Pillow decodes the file to its end, since OpenCV returns pixels for a truncated
    JPEG; bytes changed inside a JPEG are noticed by no decoder. Pillow warns of odd metadata: callers may want to
    filter that.

    Args:
        stretch: spread the values of files of more than 8 bits over the range (`brightness.stretch_to_uint8`).
        max_megapixels: see `image_files.check_image_size`.

    Raises:
        CorruptFile: (an OSError) empty, truncated, too large, or no picture. InvalidFile: (a ValueError) a picture of
            a form without RGB values of 8 or 16 bits. The message has the file and a remedy.
    """
    rgb, info = _read_image(data, str(path), stretch, max_megapixels, wants_pixels=True)
    assert rgb is not None
    return rgb, info


def verify_image(
    data: bytes, path: str | Path, *, stretch: bool = False, max_megapixels: float | None = None
) -> ImageInfo:
    """Decode an image to its end, and return its properties; raises as `decode_rgb`."""
    return _read_image(data, str(path), stretch, max_megapixels, wants_pixels=False)[1]


def _read_image(
    data: bytes, path: str, stretch: bool, max_megapixels: float | None, wants_pixels: bool
) -> tuple[np.ndarray | None, ImageInfo]:
    pages = read_tiff_pages(data) if is_tiff(data) else []
    try:
        page = _choose_page(pages, path)
        values: np.ndarray | None
        try:
            image = open_image(data)
        except Exception as error:
            if page is None or not page.is_whole:
                raise
            values, info = _read_rare_tiff(data, page, pages, path, max_megapixels, error)
        else:
            with image:
                values, info = _load_image(image, data, page, pages, path, max_megapixels, wants_pixels)
            del image  # frees its pixels before OpenCV makes its own
        if values is not None and values.dtype != np.uint8:
            values, note = reduce_file_values(values, path, stretch)
            info = _add_notes(info, [note])
        if not wants_pixels:
            return None, _add_notes(info, [_describe_frames(info, path)])
        if values is None:
            values = _decode_by_opencv(data, info, path)
        return _repeat_gray(values), _add_notes(info, [_describe_frames(info, path)])
    except UnusableFile:
        raise
    except Exception as error:  # decoders raise what damaged bytes make them raise
        raise make_decode_error(data, path, error) from error


def _choose_page(pages: Sequence[TiffPage], path: str) -> TiffPage | None:
    """First page of a TIFF that is no overview; None for other files, and where the tags cannot be read."""
    if any(page.is_raw for page in pages[:1]):
        text = "is a camera's raw file (DNG, NEF, ARW, ...), of which only a preview could be read"
        raise InvalidFile(FileIssue("unsupported image", path, text, RAW))
    page = next((page for page in pages if page.is_picture), pages[0] if pages else None)
    if page is not None and not page.covers_height:
        text = f"says that it has {page.size[1]} x {page.size[0]} pixels, but the data of some are missing"
        raise CorruptFile(FileIssue("damaged image", path, text, DAMAGE_REMEDY))
    return page


def _load_image(
    image: Image.Image,
    data: bytes,
    page: TiffPage | None,
    pages: list[TiffPage],
    path: str,
    max_megapixels: float | None,
    wants_pixels: bool,
) -> tuple[np.ndarray | None, ImageInfo]:
    """Decode by Pillow; values are None where they are left to OpenCV, or not wanted."""
    if page is not None and page.position:
        image.seek(page.position)
    check_image_size(image.size, path, max_megapixels)
    if image.format == "WEBP" and max(image.size) > MAX_WEBP_SIDE:
        raise ValueError(f"{image.width} x {image.height} pixels are more than a WebP can have")
    orientation = 1 if page is not None else _read_orientation(image)
    values: np.ndarray | None
    try:
        image.load()
    except Exception:
        if page is None or page.photometric != YCBCR or not page.is_whole:
            raise
        values = _decode_color(data)  # Pillow reads no subsampled colors without compression
        if values is None:
            raise
    else:
        values = read_wide_values(image, data, page, path)
    is_lab = page is not None and page.photometric == CIELAB  # whose conversion needs a library
    by_opencv = image.format in OPENCV_FORMATS and has_whole_chunks(data)
    if values is None and not by_opencv and (wants_pixels or is_lab):
        values = convert_to_rgb(image, path)
    info = ImageInfo(image.size[::-1], image.mode, image.format or "?", orientation)
    return values, dataclasses.replace(info, frames=count_pictures(image, pages))


def _read_rare_tiff(
    data: bytes, page: TiffPage, pages: list[TiffPage], path: str, max_megapixels: float | None, error: Exception
) -> tuple[np.ndarray, ImageInfo]:
    """Read the values of a TIFF of a form that Pillow does not know; raise for others."""
    check_image_size(page.size[::-1], path, max_megapixels)
    values = read_tiff_values(data, page)
    if values is None:
        text = f"is {page.describe()}, but expected a gray, RGB, CMYK or CIELab picture of 8 or 16 bits"
        raise InvalidFile(FileIssue("unsupported image", path, text, SCIENCE)) from error
    frames = sum(each.is_picture for each in pages)
    return values, ImageInfo((values.shape[0], values.shape[1]), f"{values.dtype}", "TIFF", 1, frames)


def _decode_by_opencv(data: bytes, info: ImageInfo, path: str) -> np.ndarray:
    rgb = _decode_color(data)
    if rgb is not None and rgb.shape[:2] == info.size:
        return rgb
    with open_image(data) as image:  # a form that this OpenCV does not know
        return convert_to_rgb(image, path)


def _decode_color(data: bytes) -> np.ndarray | None:
    bgr = None
    with contextlib.suppress(cv2.error):
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return None if bgr is None else cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr)


def _read_orientation(image: Image.Image) -> int:
    try:
        orientation = int(image.getexif().get(EXIF_ORIENTATION, 1) or 1)
    except Exception:  # damaged metadata of a whole picture
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def _repeat_gray(values: np.ndarray) -> np.ndarray:
    if values.ndim == 2:
        values = np.broadcast_to(values[..., None], (*values.shape, 3))
    return np.require(values[..., :3], requirements=("C", "W"))  # never read-only memory of a decoder


def _describe_frames(info: ImageInfo, path: str) -> FileIssue | None:
    if info.frames < 2:
        return None
    text = (
        f"holds {info.frames} pictures ({'pages' if info.format == 'TIFF' else 'frames'}), of which the first is used"
    )
    return FileIssue("several pictures", path, text, "save the others as files of their own", level="note")


def _add_notes(info: ImageInfo, notes: Sequence[FileIssue | None]) -> ImageInfo:
    return dataclasses.replace(info, notes=info.notes + tuple(note for note in notes if note is not None))
