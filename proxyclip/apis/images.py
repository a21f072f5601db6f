"""Convert any image input to (H, W, 3) uint8 RGB, EXIF orientation applied.

Files are decoded as in an evaluation.
"""

import stat
import warnings
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
import PIL.ImageOps
import torch

from proxyclip.data.files.brightness import check_used_range, stretch_to_uint8
from proxyclip.data.files.image_files import check_image_bytes, convert_to_rgb
from proxyclip.data.files.images import apply_orientation, decode_rgb

ImageInput: TypeAlias = "str | Path | bytes | PIL.Image.Image | np.ndarray | torch.Tensor"
ACCEPTED_IMAGE_FORMS = "a path, bytes, a PIL image, an array (H, W, 3) or a tensor (3, H, W)"


class ImageWarning(UserWarning):
    """Remark on an image that is read: unused range of values, several pictures in a file."""


def is_batch(images: Any) -> bool:
    """Return True for a list, a tuple, or an array or tensor of four dimensions."""
    return isinstance(images, (list, tuple)) or getattr(images, "ndim", 0) == 4


def get_image_file_name(image: Any) -> str:
    """Return the file name of an image given as a path, else an empty text."""
    return Path(image).name if isinstance(image, (str, Path)) else ""


def check_pixel(x: int, y: int, size: tuple[int, ...]) -> None:
    """Raise ValueError for a pixel outside of an image of size (H, W)."""
    if not (0 <= x < size[1] and 0 <= y < size[0]):
        raise ValueError(f"Expected a pixel inside the picture of {size[1]} x {size[0]}, but got {x}, {y}")


def to_rgb_array(image: Any, *, stretch: bool = False, max_megapixels: float | None = None) -> np.ndarray:
    """Convert one image to (H, W, 3) uint8 RGB, with an ImageWarning a note of `load_image`."""
    rgb, notes = load_image(image, stretch=stretch, max_megapixels=max_megapixels)
    for note in notes:
        warnings.warn(note, ImageWarning, stacklevel=2)
    return rgb


def load_image(
    image: Any, *, stretch: bool = False, max_megapixels: float | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Convert one image to (H, W, 3) uint8 RGB, and tell what its user should know.

    Files and bytes are decoded as in an evaluation, but turned by their EXIF tag. Of 16 bits the upper 8 are taken,
    floating-point values are brightness from 0 to 1, and alpha is dropped.

    Args:
        stretch: spread values of more than 8 bits over the range, from their 0.1th to their 99.9th percentile.
        max_megapixels: of files and bytes; None is Pillow's limit of 179.

    Raises:
        FileNotFoundError, OSError: a file that is missing, damaged or no image. ValueError: values or a shape that
            no image has. TypeError: another kind of object. The message says what is expected.
    """
    if isinstance(image, (str, Path)):
        return _decode(_read(image, max_megapixels), str(image), stretch, max_megapixels)
    if hasattr(image, "read"):
        image = image.read()
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _decode(bytes(image), "the given bytes", stretch, max_megapixels)
    if isinstance(image, PIL.Image.Image):
        return _from_pil(image, stretch)
    if isinstance(image, torch.Tensor):
        return _from_array(_channels_last(image), stretch)
    if isinstance(image, np.ndarray):
        return _from_array(image, stretch)
    raise TypeError(f"Expected a picture as {ACCEPTED_IMAGE_FORMS}, but got {type(image).__name__}")


def _read(path: str | Path, max_megapixels: float | None) -> bytes:
    name = str(path)[:300]
    if "://" in name[:12] or name.startswith("data:"):
        raise ValueError(f"Expected a file on this machine, but got the address {name}: save the picture first")
    try:
        file = Path(path).expanduser()
        mode = file.stat().st_mode
        if not stat.S_ISDIR(mode) and not stat.S_ISCHR(mode):
            check_image_bytes(file, max_megapixels)
            return file.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no picture {name}") from None
    except (OSError, ValueError, RuntimeError) as error:  # not allowed, or a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise OSError(f"Expected the path of a picture, but {name!r} cannot be read ({reason})") from error
    raise IsADirectoryError(f"Expected a picture, but {name!r} is a folder or a device: give files one by one")


def _decode(data: bytes, name: str, stretch: bool, max_megapixels: float | None) -> tuple[np.ndarray, tuple[str, ...]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd metadata
        rgb, info = decode_rgb(data, name, stretch=stretch, max_megapixels=max_megapixels)
    return apply_orientation(rgb, info.orientation), tuple(map(str, info.notes))


def _unreadable_image_error(name: str, error: Exception) -> OSError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return OSError(f"Expected a whole picture, but {name} cannot be read ({reason}): get that file again")


def _from_pil(image: PIL.Image.Image, stretch: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    name = str(getattr(image, "filename", "")) or "the given PIL image"
    try:
        turned = PIL.ImageOps.exif_transpose(image)
    except Exception as error:  # its file is read only now
        raise _unreadable_image_error(name, error) from error
    if turned.mode.startswith(("I", "F")):
        values = np.asarray(turned)
        sixteen = turned.mode.startswith("I;16") or (turned.mode == "I" and 255 < values.max(initial=0) < 65536)
        return _from_array(values.astype(np.uint16) if sixteen and values.min(initial=0) >= 0 else values, stretch)
    return _from_array(convert_to_rgb(turned, name), stretch)


def _channels_last(image: torch.Tensor) -> np.ndarray:
    try:
        values = image.detach().cpu()
        values = values.float() if values.is_floating_point() and values.dtype != torch.float64 else values
        array = values.resolve_neg().numpy()
    except (RuntimeError, TypeError, NotImplementedError) as error:  # sparse, quantized, complex, without values, ...
        raise TypeError(f"Expected a tensor of numbers, but got {image.dtype}, {image.layout}: {error}") from error
    if array.ndim == 3:
        if array.shape[0] not in (1, 2, 3, 4):
            raise ValueError(f"Expected a tensor (3, H, W), but got {array.shape}: image.permute(2, 0, 1)?")
        array = array.transpose(1, 2, 0)
    return array


def _from_array(values: np.ndarray, stretch: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    values = np.asarray(values)  # a plain array, no matrix
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.shape[2] not in (1, 2, 3, 4):
        raise ValueError(f"Expected an array (H, W) or (H, W, 3), but got {values.shape}: channels come last")
    if 0 in values.shape:
        raise ValueError(f"Expected a picture with pixels, but got an array of {values.shape}")
    values = values[..., :1] if values.shape[2] < 3 else values[..., :3]  # gray, gray and alpha, RGB, RGB and alpha
    is_wide = values.dtype.kind in "uif" and values.dtype != np.uint8
    pixels = stretch_to_uint8(values) if stretch and is_wide else _to_uint8(values)
    rgb = np.array(np.broadcast_to(pixels, (*values.shape[:2], 3)), order="C")  # never the caller's own memory
    if stretch or values.dtype.kind != "u" or values.itemsize != 2:
        return rgb, ()
    note = check_used_range(values.astype(np.uint16, copy=False), "the given array")
    return rgb, () if note is None else (str(note),)


def _to_uint8(values: np.ndarray) -> np.ndarray:
    """Convert values of any type to uint8."""
    kind = values.dtype.kind
    if values.dtype == np.uint8:
        return values
    if kind == "b":
        return values.astype(np.uint8) * 255
    if kind not in "uif":
        raise TypeError(f"Expected a picture of numbers, but its values are {values.dtype}")
    low, high = values.min(), values.max()
    if kind == "f":
        if not (low >= 0 and high <= 1):  # NaN too
            raise ValueError(
                f"Expected brightness from 0 to 1 in {values.dtype}, but it goes from {low} to {high}: divide it, or "
                "spread it with stretch=True"
            )
        return np.rint(values * 255).astype(np.uint8)
    if kind == "u" and values.itemsize == 2:  # of either byte order
        return (values >> 8).astype(np.uint8)
    if low < 0 or high > 255:
        raise ValueError(
            f"Expected brightness from 0 to 255 in {values.dtype}, but it goes from {low} to {high}: convert it to "
            "uint8 or uint16, or spread it with stretch=True"
        )
    return values.astype(np.uint8)
