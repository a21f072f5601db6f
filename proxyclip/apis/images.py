"""Convert any image input to (H, W, 3) uint8 RGB, EXIF orientation applied.

Files are decoded as in an evaluation.
"""

import contextlib
import io
import stat
import warnings
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import torch

from proxyclip.data.files.errors import CorruptFile
from proxyclip.data.files.images import verify_image

ImageInput: TypeAlias = "str | Path | bytes | PIL.Image.Image | np.ndarray | torch.Tensor"
INTERMEDIATE_MODES = {"La": "LA", "RGBa": "RGBA"}  # modes that Pillow takes to RGB by way of others
ACCEPTED_IMAGE_FORMS = "a path, bytes, a PIL image, an array (H, W, 3) or a tensor (3, H, W)"


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


def to_rgb_array(image: Any) -> np.ndarray:
    """Convert one image to (H, W, 3) uint8 RGB.

    Files and bytes are decoded by OpenCV after Pillow verified them, and turned by their EXIF tag. Of 16 bits the
    upper 8 are taken, floating-point values are brightness from 0 to 1, and alpha is dropped.

    Raises:
        FileNotFoundError, OSError: a file that is missing, damaged or no image. ValueError: values or a shape that
            no image has. TypeError: another kind of object. The message says what is expected.
    """
    if isinstance(image, (str, Path)):
        return _decode(_read(image), str(image))
    if hasattr(image, "read"):
        image = image.read()
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _decode(bytes(image), "the given bytes")
    if isinstance(image, PIL.Image.Image):
        return _from_pil(image)
    if isinstance(image, torch.Tensor):
        return _from_array(_channels_last(image))
    if isinstance(image, np.ndarray):
        return _from_array(image)
    raise TypeError(f"Expected a picture as {ACCEPTED_IMAGE_FORMS}, but got {type(image).__name__}")


def _read(path: str | Path) -> bytes:
    name = str(path)[:300]
    if "://" in name[:12] or name.startswith("data:"):
        raise ValueError(f"Expected a file on this machine, but got the address {name}: save the picture first")
    try:
        file = Path(path).expanduser()
        mode = file.stat().st_mode
        if not stat.S_ISDIR(mode) and not stat.S_ISCHR(mode):
            return file.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no picture {name}") from None
    except (OSError, ValueError, RuntimeError) as error:  # not allowed, or a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise OSError(f"Expected the path of a picture, but {name!r} cannot be read ({reason})") from error
    raise IsADirectoryError(f"Expected a picture, but {name!r} is a folder or a device: give files one by one")


def _decode(data: bytes, name: str) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd metadata
        try:
            file = verify_image(data, name)
        except CorruptFile:
            raise
        except Exception as error:  # decoders raise what damaged bytes make them raise
            raise _unreadable_image_error(name, error) from error
        if file.mode.startswith("F"):
            raise ValueError(
                f"{name} holds floating-point values of an unknown range: read it yourself and give an array of values "
                "from 0 to 1"
            )
        # Which formats OpenCV turns depends on its version; a TIFF it turns in any case.
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        bgr = None
        with contextlib.suppress(cv2.error):
            bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        if bgr is not None:
            return _apply_orientation(bgr[..., ::-1], 1 if file.format == "TIFF" else file.orientation)
        with PIL.Image.open(io.BytesIO(data)) as image:  # a format that this OpenCV does not know
            return _from_pil(image, name)


def _apply_orientation(rgb: np.ndarray, orientation: int) -> np.ndarray:
    """Turn upright, by the value of the EXIF tag."""
    if orientation in (5, 6, 7, 8):
        rgb = rgb.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)


def _unreadable_image_error(name: str, error: Exception) -> OSError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return OSError(f"Expected a whole picture, but {name} cannot be read ({reason}): get that file again")


def _from_pil(image: PIL.Image.Image, name: str = "") -> np.ndarray:
    try:
        turned = PIL.ImageOps.exif_transpose(image)
    except Exception as error:  # its file is read only now
        name = name or str(getattr(image, "filename", "")) or "the given PIL image"
        raise _unreadable_image_error(name, error) from error
    if turned.mode.startswith(("I", "F")):
        values = np.asarray(turned)
        sixteen = turned.mode.startswith("I;16") or (turned.mode == "I" and 255 < values.max(initial=0) < 65536)
        return _from_array(values.astype(np.uint16) if sixteen and values.min(initial=0) >= 0 else values)
    try:
        rgb = turned.convert(INTERMEDIATE_MODES.get(turned.mode, turned.mode)).convert("RGB")
    except ValueError as error:
        raise ValueError(f"Expected a picture that can be shown in RGB, but its mode is {image.mode}") from error
    return _from_array(np.asarray(rgb))


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


def _from_array(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)  # a plain array, no matrix
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.shape[2] not in (1, 2, 3, 4):
        raise ValueError(f"Expected an array (H, W) or (H, W, 3), but got {values.shape}: channels come last")
    if 0 in values.shape:
        raise ValueError(f"Expected a picture with pixels, but got an array of {values.shape}")
    pixels = _to_uint8(values)
    channels = pixels[..., :1] if pixels.shape[2] < 3 else pixels[..., :3]  # gray, gray and alpha, RGB, RGB and alpha
    return np.array(np.broadcast_to(channels, (*pixels.shape[:2], 3)), order="C")  # never the caller's own memory


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
            raise ValueError(f"Expected brightness from 0 to 1 in {values.dtype}, but it goes from {low} to {high}")
        return np.rint(values * 255).astype(np.uint8)
    if kind == "u" and values.itemsize == 2:  # of either byte order
        return (values >> 8).astype(np.uint8)
    if low < 0 or high > 255:
        raise ValueError(f"Expected brightness from 0 to 255 in {values.dtype}, but it goes from {low} to {high}")
    return values.astype(np.uint8)
