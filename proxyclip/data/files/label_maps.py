"""Label maps of image files as exact integers; what cannot be exact is an error."""

import re
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from proxyclip.data.files.errors import CorruptFile, FileIssue, InvalidFile, UnusableFile
from proxyclip.data.files.image_files import check_image_size, count_pictures, explain_decode_error, open_image
from proxyclip.data.files.tiff_pages import WHITE_IS_ZERO, TiffPage, is_tiff, read_tiff_pages

LOSSY_FORMATS = {"JPEG": "JPEG", "MPO": "JPEG", "JPEG2000": "JPEG 2000", "WEBP": "WebP", "AVIF": "AVIF"}
LOSSY_TIFF_COMPRESSIONS = ("jpeg", "tiff_jpeg", "webp", "jpeg2000")
MAX_LABEL = 2**31 - 1


def decode_label_map(data: bytes, path: str | Path, max_megapixels: float | None = None) -> np.ndarray:
    """Decode a label map to the values that its file stores, (H, W) int32.

    Palette images give indices. Gray samples of 2 and 4 bits, and those of a PGM with another maximum than 255, which
    decoders scale to the full range, are scaled back.

    Args:
        max_megapixels: see `check_image_size`.

    Raises:
        CorruptFile: (an OSError) unreadable, truncated, or of too many pixels.
        InvalidFile: (a ValueError) several pictures or channels, lossy, inverted, or fractions.
    """

    def invalid(text: str, remedy: str) -> InvalidFile:
        return InvalidFile(FileIssue("no label map", str(path), text, remedy))

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata, and a size that is large but allowed
            pages = read_tiff_pages(data) if is_tiff(data) else []
            with open_image(data) as image:
                check_image_size(image.size, str(path), max_megapixels)
                obstacle = _find_obstacle(image, pages)
                values = _read_stored_values(image, data, pages) if obstacle is None else None
    except UnusableFile:
        raise
    except Exception as error:  # decoders raise what damaged bytes make them raise
        remedy = "copy it or convert the data set again"
        issue = FileIssue("damaged label map", str(path), explain_decode_error(data, error), remedy)
        raise CorruptFile(issue) from error
    if obstacle is not None:
        raise invalid(*obstacle)
    assert values is not None
    finite = bool(np.isfinite(values).all())
    if finite and values.size and values.max() > MAX_LABEL:
        raise invalid(f"has values up to {values.max()}, but expected labels", "convert it to ids")
    labels = values.astype(np.int32) if finite else None
    if labels is None or not np.array_equal(labels, values):
        raise invalid(f"has {values.dtype} fractions, but expected whole numbers", "convert it to ids")
    return labels


def _find_obstacle(image: Image.Image, pages: list[TiffPage]) -> tuple[str, str] | None:
    """(reason, remedy) if the pixels of an opened file are no labels, or None."""
    count = count_pictures(image, pages)
    bands = image.getbands()
    if count > 1:
        kind = "pages" if pages else "frames"
        remedy = "merge a page a class into one map of class indices, or save the one that is the map alone"
        return f"has {count} {kind}, but expected one label map", remedy
    if len(bands) > 1:
        text = f"has {len(bands)} channels ({''.join(bands)}), but expected one of labels"
        return text, "convert the colors to class indices, or name the folder of index masks"
    compression = str(image.info.get("compression", ""))
    if image.format in LOSSY_FORMATS or (image.format == "TIFF" and compression in LOSSY_TIFF_COMPRESSIONS):
        name = LOSSY_FORMATS.get(image.format or "", "TIFF compressed as JPEG")
        return f"is a {name}, which changes labels", "make it again as PNG or TIFF without loss"
    if pages and pages[0].photometric == WHITE_IS_ZERO:
        text = "is a TIFF whose 0 is white (PhotometricInterpretation 0), which some programs invert and some do not"
        return text, "save it with 0 as black, or as PNG"
    if image.format == "PPM" and image.mode == "1":
        return "is a PBM, whose 1 is black, which some programs invert and some do not", "make it again as PNG"
    return None


def _read_stored_values(image: Image.Image, data: bytes, pages: list[TiffPage]) -> np.ndarray:
    """Values as the file stores them, of any number format."""
    values = np.array(image)
    top = 255 if values.dtype == np.uint8 else 65535
    if image.format == "PNG" and image.mode == "L" and data[24] in (2, 4):  # the bit depth of its header
        return values // (255 // (2 ** data[24] - 1))
    if image.format == "PPM" and image.mode in ("L", "I") and (maximum := _read_pgm_maximum(data)) not in (None, top):
        return np.rint(values * (maximum / top))
    if not pages:
        return values
    bits, sample_format = pages[0].bits, pages[0].sample_format
    if image.mode == "L" and bits in (2, 4):
        return values // (255 // (2**bits - 1))
    if image.mode == "L" and sample_format == 2:
        return values.view(np.int8)
    if image.mode == "I" and bits == 32 and sample_format == 1:
        return values.view(np.uint32)
    return values


def _read_pgm_maximum(data: bytes) -> int | None:
    comment = rb"(?:\s|#[^\n]*\n)+"
    match = re.match(rb"P[25]" + comment + rb"\d+" + comment + rb"\d+" + comment + rb"(\d+)", data[:4096])
    return int(match[1]) if match else None
