"""Files of a gallery: pictures of at most a size, of the work dir alone."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps

from proxyclip.results.record_schema import is_identity
from proxyclip.utils.file_limits import MEGABYTE, read_limited_bytes
from proxyclip.visualization.figure import image_to_data_uri

T = TypeVar("T")
MAX_PHOTO_SIDE = 512  # pixels of an embedded photograph
MAX_PICTURE_BYTES = 20 * MEGABYTE  # of a file of the gallery
MAX_PICTURE_PIXELS = 2**20  # eval.py's have at most 640 x 640


def locate_picture(folder: Path, identity: str, name: str) -> Path:
    """Return the path of a picture of a run, which has to lie in the gallery of the work dir `folder`.

    Raises:
        ValueError: an identity that is none, or a link that leads out of the gallery.
    """
    if not is_identity(identity):
        raise ValueError(f"expected an identity of 12 hexadecimal digits, but got {identity!r}")
    path = folder / "gallery" / identity / name
    inside = folder.resolve() / "gallery"  # which may be no link to elsewhere either
    if path.exists() and not (path.is_file() and path.resolve().is_relative_to(inside)):
        raise ValueError(f"{path} is no file of the gallery: a link that leads out of it is not followed")
    return path


def encode_photo(path: Path) -> tuple[str, tuple[int, int]]:
    """Encode a file as WebP of at most MAX_PHOTO_SIDE pixels; also its own (h, w).

    Raises:
        OSError, ValueError: a file that cannot be read, or is too large.
    """
    with _open_picture(path) as file:
        image = ImageOps.exif_transpose(file).convert("RGB")
    h, w = image.height, image.width
    image.thumbnail((MAX_PHOTO_SIDE, MAX_PHOTO_SIDE))
    return image_to_data_uri(image, "webp", quality=76, method=4), (h, w)


def read_gallery_labels(path: Path, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Read a label map: (H, W) class indices, 0 if not scored, and the scored mask.

    Raises:
        OSError, ValueError: a file that cannot be read, is too large, or is no label map.
    """
    with _open_picture(path) as file:
        labels = np.asarray(file)
    if labels.ndim != 2 or labels.dtype.kind not in "ui":
        raise OSError(f"a label map has one channel of whole numbers, this has {labels.shape} {labels.dtype}")
    scored = (labels >= 0) & (labels != (255 if labels.dtype == np.uint8 else 65535))
    if classes:
        scored &= labels < classes
    return np.where(scored, labels, 0).astype(np.int32), scored


def read_picture_or_reason(read: Callable[[Path], T], folder: Path, identity: str, name: str) -> T | str:
    """Read a picture of a run, or return the reason that it cannot be, with paths relative to the work dir.

    Args:
        read: of the path of the picture.
        folder: the work dir.
    """
    try:
        return read(locate_picture(folder, identity, name))
    except FileNotFoundError:
        return f"There is no file gallery/{identity}/{name}."
    except Exception as error:  # decoders raise what damaged bytes make them raise
        return f"A picture file cannot be read: {str(error).replace(f'{folder}/', '')}."


def _open_picture(path: Path) -> Image.Image:
    """Open a JPEG or PNG whose bytes and pixels are few enough; nothing is unpacked yet."""
    data = read_limited_bytes(path, MAX_PICTURE_BYTES, "a picture of the gallery")
    image = Image.open(BytesIO(data), formats=("JPEG", "PNG"))
    if image.width * image.height > MAX_PICTURE_PIXELS:
        limit = f"{MAX_PICTURE_PIXELS / 1e6:.1f} megapixels"
        raise ValueError(f"expected at most {limit}, but {path} has {image.width} x {image.height} pixels")
    return image
