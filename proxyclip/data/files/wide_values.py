"""Values of more than 8 bits of image files, as they are stored."""

import contextlib

import cv2
import numpy as np
from PIL import Image

from proxyclip.data.files.errors import FileIssue, InvalidFile
from proxyclip.data.files.image_files import apply_orientation, convert_to_rgb, has_whole_chunks
from proxyclip.data.files.tiff_pages import BLACK_IS_ZERO, RGB, WHITE_IS_ZERO, TiffPage
from proxyclip.data.files.tiff_strips import read_strips

COMPLEX_FORMATS = (5, 6)  # of TIFF samples


def read_wide_values(image: Image.Image, data: bytes, page: TiffPage | None, path: str) -> np.ndarray | None:
    """Read the values (H, W) or (H, W, 3) of a loaded image of more than 8 bits.

    Pillow keeps the upper 8 bits of colors only; OpenCV's values are taken where their upper bits are Pillow's.

    Args:
        page: of a TIFF, else None.

    Returns:
        uint16, int32, uint32 or float32 RGB or gray; None for 8 bits, and where 8 bits are all that can be read.
    """
    if image.mode.startswith(("I", "F")):
        return _read_gray_values(image, page)
    if image.mode == "L" and page is not None and page.bits == 8 and page.sample_format == 2:
        return np.asarray(image).view(np.int8)
    if page is not None and page.is_planar and page.bits == 16:
        return _read_planar_values(data, page, path)
    if not _has_wide_colors(image, data, page):
        return None
    values = _decode_unchanged(data)
    if values is None or values.dtype != np.uint16:
        return None
    values = _order_channels(values)
    upper = convert_to_rgb(image, path)
    margin = 1 if image.format == "PPM" else 0  # which Pillow rounds
    for candidate in (values, values[..., :1] if values.ndim == 3 else values[..., None]):
        if candidate.shape[:2] == upper.shape[:2] and _agree(candidate, upper, margin):
            return candidate
    return None


def read_tiff_values(data: bytes, page: TiffPage) -> np.ndarray | None:
    """Read wide values of a gray or RGB page that Pillow does not open, upright; None if nothing else does either."""
    is_color = page.photometric == RGB and page.samples in (3, 4)
    if not (is_color or (page.photometric == BLACK_IS_ZERO and page.samples == 1)) or not page.is_wide:
        return None
    values = read_strips(data, page)
    if values is not None:
        return apply_orientation(values[..., :3] if is_color else values[..., 0], page.orientation)
    if page.position or page.is_planar or page.samples == 4 or page.sample_format in COMPLEX_FORMATS:
        return None
    values = _decode_unchanged(data)  # which is upright
    if values is None or values.ndim != (3 if page.samples == 3 else 2) or values.dtype == np.uint8:
        return None
    return _order_channels(values)


def _read_planar_values(data: bytes, page: TiffPage, path: str) -> np.ndarray:
    values = read_strips(data, page) if page.photometric == RGB else None
    if values is None:
        text = f"is {page.describe()}, which decoders take for something else"
        raise InvalidFile(FileIssue("unsupported image", path, text, "save it pixel by pixel (interleaved), or as PNG"))
    return apply_orientation(values[..., :3], page.orientation)


def _read_gray_values(image: Image.Image, page: TiffPage | None) -> np.ndarray:
    values = np.asarray(image)
    if image.format == "PPM":  # scaled to 16 bits by Pillow
        return values.astype(np.uint16)
    if page is None or page.sample_format == 3:
        return values
    if image.mode == "I" and page.bits == 32 and page.sample_format == 1:
        return values.view(np.uint32)
    if image.mode.startswith("I;16"):
        wide = values.astype(np.uint16) * np.uint16(2 ** max(16 - page.bits, 0))
        return 65535 - wide if page.photometric == WHITE_IS_ZERO else wide
    return values


def _has_wide_colors(image: Image.Image, data: bytes, page: TiffPage | None) -> bool:
    if page is not None:
        return page.bits == 16 and page.position == 0 and image.mode in ("RGB", "RGBA", "RGBX")
    if image.format == "PNG":
        return data[24] == 16 and has_whole_chunks(data)  # the bit depth of its header
    if image.format == "JPEG2000":
        start = data.find(b"\xff\x51", 0, 4096)  # the marker of sizes and bits
        return 0 <= start < len(data) - 40 and data[start + 40] & 127 > 7
    return image.format == "PPM" and image.mode == "RGB"


def _decode_unchanged(data: bytes) -> np.ndarray | None:
    with contextlib.suppress(cv2.error):
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return None


def _order_channels(values: np.ndarray) -> np.ndarray:
    """RGB or gray from OpenCV's BGR, with or without alpha."""
    return values[..., 2::-1] if values.ndim == 3 and values.shape[2] >= 3 else values


def _agree(values: np.ndarray, upper: np.ndarray, margin: int) -> bool:
    strips = range(0, len(upper), 256)  # so that no copy of the whole image is made
    return all(
        np.abs((values[y : y + 256] >> 8).astype(np.int16) - upper[y : y + 256]).max(initial=0) <= margin
        for y in strips
    )
