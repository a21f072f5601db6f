"""Opening of image files by Pillow: size limit, pictures in a file, conversion, errors."""

import contextlib
import io
import re
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from proxyclip.data.files.errors import CorruptFile, FileIssue, InvalidFile, UnusableFile
from proxyclip.data.files.foreign_formats import identify_foreign_format
from proxyclip.data.files.tiff_pages import TiffPage
from proxyclip.utils.formats import format_size

INTERMEDIATE_MODES = {"La": "LA", "RGBa": "RGBA"}  # modes that Pillow takes to RGB by way of others
ANIMATED_FORMATS = ("GIF", "PNG", "WEBP", "AVIF", "FLI", "DCX")
DAMAGE_REMEDY = "get that file again, as a whole JPEG or PNG"
LIMIT_REMEDY = (
    "let it through with max_megapixels={0}, demo.py --max-megapixels {0}, or in an evaluation "
    "--cfg-options test_dataloader.dataset.pipeline.0.max_megapixels={0}"
)

MAX_IMAGE_BYTES = 2 * 10**9  # of a file; of an image of more megapixels that are let through 16 a pixel


def check_image_bytes(path: str | Path, max_megapixels: float | None = None) -> None:
    """Raise CorruptFile on a file of too many bytes, before it is read; one that is not on this disk passes.

    Args:
        max_megapixels: that are let through; more than usual may need more bytes.
    """
    limit = max(MAX_IMAGE_BYTES, int(16e6 * (max_megapixels or 0)))
    size = 0
    with contextlib.suppress(OSError, ValueError):  # whoever reads it says what is wrong
        size = Path(path).stat().st_size
    if size > limit:
        text = f"has {format_size(size, exact=True)}, but at most {format_size(limit, exact=True)} are read"
        raise CorruptFile(FileIssue("too many bytes", str(path), text, "is it the right file?"))


def open_image(data: bytes) -> Image.Image:
    """Open an image of any size; its pixels are decoded by `load`.

    `PIL.Image.open` refuses large images by a setting of the whole process, which is left alone here.

    Raises:
        PIL.UnidentifiedImageError: no format fits; decoders raise other errors.
    """
    reasons: list[str] = []
    for initialize in (Image.preinit, Image.init):
        initialize()
        for name in tuple(Image.ID):
            factory, accept = Image.OPEN[name]
            verdict = accept is None or accept(data[:16])
            if isinstance(verdict, str):  # a format that this Pillow was built without
                reasons.append(verdict)
            elif verdict:
                try:
                    return factory(io.BytesIO(data), "")
                except (SyntaxError, IndexError, TypeError, struct.error):  # another format
                    continue
    raise Image.UnidentifiedImageError("; ".join(reasons) or "cannot identify")


def check_image_size(size: tuple[int, int], path: str, max_megapixels: float | None = None) -> None:
    """Raise CorruptFile on an image of too many pixels.

    Args:
        size: (width, height).
        max_megapixels: None: twice `PIL.Image.MAX_IMAGE_PIXELS`, 179 if nobody changed it.
    """
    limit = max_megapixels
    if limit is None and Image.MAX_IMAGE_PIXELS is not None:
        limit = 2 * Image.MAX_IMAGE_PIXELS / 1e6
    megapixels = size[0] * size[1] / 1e6
    if limit is None or megapixels <= limit:
        return
    text = f"has {size[0]} x {size[1]} pixels, {megapixels:.5g} megapixels, but at most {limit:.5g} are read"
    raise CorruptFile(FileIssue("too many pixels", path, text, LIMIT_REMEDY.format(int(megapixels) + 1)))


def count_pictures(image: Image.Image, pages: list[TiffPage]) -> int:
    """Count the pictures of a file; overviews, masks and previews are none."""
    if pages:
        return max(sum(page.is_picture for page in pages), 1)
    count = 1
    try:
        if image.format in ANIMATED_FORMATS:
            return int(getattr(image, "n_frames", 1))
        if image.format == "MPO":
            size = image.size  # previews and gain maps have another one
            for frame in range(1, int(getattr(image, "n_frames", 1))):
                image.seek(frame)
                count += image.size == size
    except Exception:  # what follows the first picture may be damaged
        return count
    return count


def has_whole_chunks(data: bytes) -> bool:
    """Return False for a PNG with a chunk that is longer than the file, for which OpenCV takes any memory."""
    if not data.startswith(b"\x89PNG"):
        return True
    position = 8
    while position + 8 <= len(data) and data[position + 4 : position + 8] != b"IEND":
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return position <= len(data)


def convert_to_rgb(image: Image.Image, path: str) -> np.ndarray:
    """Convert an 8-bit image of any mode to (H, W, 3) uint8; alpha is dropped.

    Raises:
        InvalidFile: a mode without such a conversion.
    """
    try:
        rgb = image.convert(INTERMEDIATE_MODES.get(image.mode, image.mode)).convert("RGB")
    except (ValueError, ImportError) as error:
        text = f"has the color mode {image.mode}, which cannot be shown in RGB ({error})"
        raise InvalidFile(FileIssue("unsupported image", path, text, "convert it to RGB")) from error
    return np.asarray(rgb)


def apply_orientation(rgb: np.ndarray, orientation: int) -> np.ndarray:
    """Turn upright, by the value of the EXIF tag."""
    if orientation in (5, 6, 7, 8):
        rgb = rgb.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)


def make_decode_error(data: bytes, path: str, error: BaseException) -> UnusableFile:
    """Make the error for a file that no decoder reads: of another kind, or damaged."""
    foreign = identify_foreign_format(data)
    if foreign is None and re.search("not (installed|available)$", str(error)):  # Pillow's words on a missing library
        remedy = "convert it to JPEG or PNG, or install a Pillow that has it"
        return CorruptFile(FileIssue("unsupported image", path, f"cannot be read here ({error})", remedy))
    if foreign is None:
        return CorruptFile(FileIssue("damaged image", path, explain_decode_error(data, error), DAMAGE_REMEDY))
    kind = "damaged image" if foreign.is_elsewhere else "unsupported image"
    cannot = "" if foreign.is_elsewhere else ", which is not read as a picture"
    return CorruptFile(FileIssue(kind, path, f"is {foreign.name}{cannot}", foreign.remedy))


def explain_decode_error(data: bytes, error: BaseException) -> str:
    """Short reason that `data` cannot be read as an image."""
    if not data:
        return "is empty"
    if not any(data):
        return f"cannot be read (its {len(data)} bytes are all zero)"
    foreign = identify_foreign_format(data)
    if foreign is not None:
        return f"is {foreign.name} ({foreign.remedy})"
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"cannot be read ({'it is no picture' if 'cannot identify' in reason else reason})"
