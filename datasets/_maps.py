"""Images and label maps: checked reading, relabelling by table, encoding."""

import io
import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

ILLEGAL = -1  # in a table: a value that the source must not have
MAX_PIXELS = 100_000_000  # of a map in a .mat file, whose header may claim any size
NUMBER_CLASSES = ("double", "single", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
ENDS = {".png": b"IEND\xaeB`\x82", ".jpg": b"\xff\xd9"}


class Bad(Exception):
    """A source file has an error."""


def table(size: int, used: Mapping[int, int]) -> np.ndarray:
    """(size,) int16: value -> label; ILLEGAL for values not in `used`."""
    labels = np.full(size, ILLEGAL, np.int16)
    labels[list(used)] = list(used.values())
    return labels


def load(path: Path) -> Image.Image:
    """Decode an image to its end.

    Raises:
        Bad: it cannot be read.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except Exception as error:  # broken files raise nearly anything
        raise Bad(f"{path}: cannot be read ({error}); get it again") from error


def complete(path: Path) -> bool:
    """True if an image exists and is complete."""
    end = ENDS.get(path.suffix, b"")
    try:
        load(path)
        with path.open("rb") as file:
            file.seek(-len(end), os.SEEK_END)
            return file.read() == end
    except (Bad, OSError):
        return False


def gray(path: Path) -> np.ndarray:
    """(H, W) uint8: the values of a gray or palette image.

    Raises:
        Bad: it cannot be read, has several pictures, is of another mode, or of samples that Pillow scales to 8 bits.
    """
    image = load(path)
    if image.mode not in ("L", "P"):
        raise Bad(f"{path}: expected one channel of 8 bits, but got mode {image.mode}; get the original file")
    with Image.open(path) as file:
        pages = getattr(file, "n_frames", 1)
    if pages > 1:
        raise Bad(f"{path}: expected one map, but it has {pages} pages; get the original file")
    if image.mode == "L" and (depth := sample_bits(path)) != 8:
        raise Bad(f"{path}: expected gray values of 8 bits, but they have {depth}; get the original file")
    return np.asarray(image)


def sample_bits(path: Path) -> int:
    """Bits of a sample of a PNG, as its header has them; 8 for other files."""
    with path.open("rb") as file:
        header = file.read(25)
    return header[24] if header.startswith(b"\x89PNG") and len(header) == 25 else 8


def matlab(path: Path, key: str, top: int) -> np.ndarray:
    """(H, W) int64: the map `key` of a .mat file.

    Raises:
        Bad: it cannot be read, has no such map of a picture's size, or the map has other than whole numbers from 0 to
            `top`.
    """
    from scipy.io import loadmat, whosmat

    try:
        listed = {name: (shape, kind) for name, shape, kind in whosmat(path)}  # of the headers alone
        shape, kind = listed.get(key, ((), ""))
        fits = kind in NUMBER_CLASSES and len(shape) == 2 and 0 < math.prod(shape) <= MAX_PIXELS
        values = loadmat(path, variable_names=[key])[key] if fits else None
    except Exception as error:
        raise Bad(f"{path}: cannot be read ({error}); get it again") from error
    if values is None:
        raise Bad(f"{path}: expected an H x W map of numbers named {key}; is it another data set's file?")
    wrong = np.unique(values[~((values >= 0) & (values <= top) & (values == np.floor(values)))]).tolist()
    if wrong:
        raise Bad(f"{path}: {key} has values {wrong[:10]}, expected whole numbers from 0 to {top}; get it again")
    return values.astype(np.int64)


def relabel(path: Path, raw: np.ndarray, labels: np.ndarray, what: str) -> np.ndarray:
    """(H, W) uint8: labels[raw].

    Raises:
        Bad: `raw`, which is of the file `path`, has values that are ILLEGAL in `labels`.
    """
    relabelled_map = labels[raw]
    if relabelled_map.min() == ILLEGAL:
        values = np.unique(raw[relabelled_map == ILLEGAL]).tolist()
        raise Bad(f"{path}: has values {values[:10]} that {what} does not; is it one? If so, get it again")
    return relabelled_map.astype(np.uint8)


def relabelled(path: Path, labels: np.ndarray, what: str) -> tuple[bytes]:
    """The PNG of the map `path` after relabelling by the table `labels`, (256,)."""
    return (encode(relabel(path, gray(path), labels, what)),)


def check_pair(image: Path, mask: Path, labels: np.ndarray, what: str) -> tuple[()]:
    """Open an image and its map to their ends.

    Raises:
        Bad: one cannot be read, the map has values that are ILLEGAL in `labels`, or the sizes differ.
    """
    height, width = relabel(mask, gray(mask), labels, what).shape
    same_size(image, load(image).size, mask, (width, height))
    return ()


def same_size(path: Path, size: tuple[int, int], other: Path, expected: tuple[int, int]) -> None:
    """Raise Bad if (width, height) of `path` are not those of the file `other`."""
    if size != expected:
        raise Bad(f"{path}: has size {size}, but {other.name} has {expected}; get both again")


def encode(labels: np.ndarray) -> bytes:
    """(H, W) uint8 as gray PNG, uint16 as 16-bit TIFF."""
    file = io.BytesIO()
    Image.fromarray(labels).save(file, format="PNG" if labels.dtype == np.uint8 else "TIFF")
    return file.getvalue()
