"""Pages of a TIFF file and the form of their pixels, by their tags alone."""

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL.TiffImagePlugin import ImageFileDirectory_v2

REDUCED_OR_MASK = 0b101  # bits of the subfile type: an overview, or a mask of another page
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, YCBCR, CIELAB = 0, 1, 2, 6, 8  # photometric interpretations
RAW_PHOTOMETRICS = (32803, 34892)  # color filter array, linear raw
SAMPLE_FORMATS = {1: "integers", 2: "signed integers", 3: "floating-point values", 5: "complex", 6: "complex"}
PHOTOMETRICS = {
    0: "gray", 1: "gray", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "CIELab", 9: "ICCLab", 10: "ITULab",
    32844: "LogL", 32845: "LogLuv",
}  # fmt: skip
MAX_PAGES = 10_000
# Numbers of the tags.
SUBFILE_TYPE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP, STRIP_SIZES = 273, 274, 277, 278, 279
PLANAR_CONFIGURATION, PREDICTOR = 284, 317
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_SIZES = 322, 323, 324, 325
SUB_PAGES, SAMPLE_FORMAT, DNG_VERSION = 330, 339, 50706


@dataclass(frozen=True)
class TiffPage:
    """Form of a page; `position` counts from 0 in the file.

    Attributes:
        is_picture: no overview, and no mask of another page.
        is_raw: values of a camera's sensor, or a preview of them.
        is_whole: all its data are in the file.
        covers_height: it has enough strips or tiles for its size; decoders leave what is missing black.
        is_planar: its channels are stored one after the other.
        strips: place and size of each; empty for tiles.
    """

    position: int
    size: tuple[int, int]
    bits: int
    samples: int
    sample_format: int
    photometric: int
    compression: int
    orientation: int
    is_picture: bool
    is_raw: bool
    is_whole: bool
    covers_height: bool
    is_planar: bool = False
    predictor: int = 1
    rows_per_strip: int = 0
    strips: tuple[tuple[int, int], ...] = field(default=(), repr=False)

    @property
    def is_wide(self) -> bool:
        """True if the values are no unsigned integers of up to 8 bits."""
        return self.bits > 8 or self.sample_format in (3, 5, 6)

    def describe(self) -> str:
        """Describe the form, to follow "is"."""
        channels = f"{self.samples} channel{'s' * (self.samples > 1)}"
        values = SAMPLE_FORMATS.get(self.sample_format, "values")
        color = PHOTOMETRICS.get(self.photometric, f"photometric {self.photometric}")
        order = ", channel by channel" if self.is_planar else ""
        return f"a TIFF of {channels} of {self.bits}-bit {values} ({color}, compression {self.compression}{order})"


def is_tiff(data: bytes) -> bool:
    """Return True for the first bytes of a TIFF or BigTIFF."""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_tiff_pages(data: bytes) -> list[TiffPage]:
    """List the pages of a TIFF file; those after a damaged one are missing."""
    pages: list[TiffPage] = []
    visited: set[int] = set()
    try:
        directory = ImageFileDirectory_v2(data[: 16 if data[2:4] in (b"+\0", b"\0+") else 8])
        while directory.next and directory.next not in visited and len(pages) < MAX_PAGES:
            visited.add(directory.next)
            tags = _read_tags(directory, data, directory.next)
            pages.append(_describe_page(directory, tags, data, len(pages)))
    except Exception:  # damaged directories raise whatever they hold
        return pages
    return pages


def _read_tags(directory: ImageFileDirectory_v2, data: bytes, offset: int) -> Mapping[int, Any]:
    file = io.BytesIO(data)
    file.seek(offset)
    directory.reset()
    directory.load(file)
    return directory


def _describe_page(directory: ImageFileDirectory_v2, tags: Mapping[int, Any], data: bytes, position: int) -> TiffPage:
    samples = _number(tags, SAMPLES, 1)
    photometric = _number(tags, PHOTOMETRIC, 1)
    subfile = _number(tags, SUBFILE_TYPE, 0)
    sub_pages = _read_sub_pages(tags, data) if SUB_PAGES in tags and position == 0 else []
    is_raw = any(page in RAW_PHOTOMETRICS for page in (photometric, *sub_pages))
    return TiffPage(
        position,
        (_number(tags, HEIGHT, 0), _number(tags, WIDTH, 0)),
        _number(tags, BITS, 1),
        samples,
        _number(tags, SAMPLE_FORMAT, 1),
        photometric,
        _number(tags, COMPRESSION, 1),
        _number(tags, ORIENTATION, 1),
        not subfile & REDUCED_OR_MASK,
        is_raw or (DNG_VERSION in tags and bool(subfile & 1)),
        _has_all_data(tags, len(data)),
        _covers_height(tags),
        samples > 1 and _number(tags, PLANAR_CONFIGURATION, 1) == 2,
        _number(tags, PREDICTOR, 1),
        _number(tags, ROWS_PER_STRIP, 0),
        () if TILE_OFFSETS in tags else _read_strips(tags),
    )


def _read_sub_pages(tags: Mapping[int, Any], data: bytes) -> list[int]:
    """Photometric interpretation of the pages below a page."""
    offsets = tags[SUB_PAGES]
    photometrics = []
    for offset in (offsets if isinstance(offsets, tuple) else (offsets,))[:16]:
        directory = ImageFileDirectory_v2(data[: 16 if data[2:4] in (b"+\0", b"\0+") else 8])
        try:
            photometrics.append(_number(_read_tags(directory, data, int(offset)), PHOTOMETRIC, 1))
        except (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error):
            continue
    return photometrics


def _has_all_data(tags: Mapping[int, Any], length: int) -> bool:
    offsets, sizes = (TILE_OFFSETS, TILE_SIZES) if TILE_OFFSETS in tags else (STRIP_OFFSETS, STRIP_SIZES)
    starts, counts = (value if isinstance(value, tuple) else (value,) for value in (tags.get(offsets), tags.get(sizes)))
    if None in starts or None in counts or len(starts) != len(counts):
        return False
    return all(start + count <= length for start, count in zip(starts, counts, strict=True))


def _read_strips(tags: Mapping[int, Any]) -> tuple[tuple[int, int], ...]:
    starts, sizes = tags.get(STRIP_OFFSETS, ()), tags.get(STRIP_SIZES, ())
    if not isinstance(starts, tuple):
        starts, sizes = (starts,), (sizes,)
    return tuple(zip(starts, sizes, strict=False))


def _covers_height(tags: Mapping[int, Any]) -> bool:
    h, w = _number(tags, HEIGHT, 0), _number(tags, WIDTH, 0)
    if TILE_OFFSETS in tags:
        tile_h, tile_w = max(_number(tags, TILE_HEIGHT, 1), 1), max(_number(tags, TILE_WIDTH, 1), 1)
        count, needed = tags[TILE_OFFSETS], -(-h // tile_h) * -(-w // tile_w)
    else:
        if STRIP_OFFSETS not in tags:  # as in an old kind of JPEG in TIFF
            return True
        count, needed = tags[STRIP_OFFSETS], -(-h // max(_number(tags, ROWS_PER_STRIP, h), 1))
    return (len(count) if isinstance(count, tuple) else 1) >= needed


def _number(tags: Mapping[int, Any], tag: int, default: int) -> int:
    value = tags.get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)
