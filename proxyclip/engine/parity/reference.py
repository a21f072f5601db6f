"""Reference arrays of published codes, and the comparison with them.

A name in a file may end in the way the array was thinned, applied from left to right:

    name__subK    array[..., K//2::K, K//2::K]
    name__rowsK   array[..., ::K, :]
    name__everyK  every K-th element of the flattened array

A call always has the full array and the plain name.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from proxyclip.utils.file_limits import MEGABYTE, check_unpacked_size
from proxyclip.utils.paths import ROOT

DEFAULT_GOLDEN = ROOT / "tests" / "golden"
MAX_ARRAY_BYTES = 500 * MEGABYTE  # of a file
CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
CLIP_STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


class GoldenNotFound(FileNotFoundError):
    """No reference arrays in a folder, or not the wanted file of them."""

    exit_code = 2  # of the command, as for a wrong argument


class GoldenSet:
    """Reference arrays of a folder, with the images and weights they were computed from.

    Args:
        folder: `tests/golden` of the repository by default, or another one with the same names of files.

    Raises:
        GoldenNotFound: the folder has no such arrays.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = DEFAULT_GOLDEN if folder is None else folder
        self._files: dict[str, dict[str, np.ndarray]] = {}
        if not (self.folder / "text.npz").is_file():
            raise GoldenNotFound(
                f"Expected reference arrays in {self.folder}, but it has no text.npz: an installed package is without "
                "them. Run the command in a checkout of the repository, or say --golden CHECKOUT/tests/golden"
            )

    def arrays(self, file: str) -> dict[str, np.ndarray]:
        """Load all arrays of a file, once; `images` are RGB uint8 (H, W, 3)."""
        if file not in self._files:
            path = self.folder / f"{file}.npz"
            if file == "images" and not path.is_file():  # PNG is smaller
                images = (self.folder / "images").glob("*.png")
                self._files[file] = {image.stem: np.asarray(Image.open(image)) for image in images}
            elif path.is_file():
                self._files[file] = _load_arrays(path)
            else:
                raise GoldenNotFound(f"Expected the reference arrays {path}, but there is no such file")
        return self._files[file]

    def pixels(self, spec: str) -> np.ndarray:
        """Return the RGB uint8 (h, w, 3) pixels of `NAME`, or of its part `NAME[y0:y1,x0:x1]`."""
        match = re.fullmatch(r"(\w+)(?:\[(\d+):(\d+),(\d+):(\d+)\])?", spec)
        images = self.arrays("images")
        if match is None or match[1] not in images:
            raise ValueError(f"Expected NAME or NAME[y0:y1,x0:x1] of {', '.join(sorted(images))}, but got {spec!r}")
        whole = images[match[1]]
        if match[2] is None:
            return whole
        top, bottom, left, right = map(int, match.groups()[1:])
        return np.ascontiguousarray(whole[top:bottom, left:right])

    def image(self, spec: str) -> Tensor:
        """Return an image as CLIP-normalized network input (1, 3, h, w)."""
        x = self.pixels(spec).astype(np.float32) / np.float32(255)
        return torch.from_numpy(np.ascontiguousarray(((x - CLIP_MEAN) / CLIP_STD).transpose(2, 0, 1))[None])

    def differences(self, computed: Any, file: str, name: str, rows: str | None = None) -> np.ndarray:
        """Compare an array with the one of a file.

        Args:
            computed: the full array.
            name: of the stored array, with or without the endings of its thinning.
            rows: name of the array with the indices of the stored rows; `computed` has all of them.

        Returns:
            |computed - stored|, flat float64; inf where one of them is NaN.

        Raises:
            KeyError: no such array. ValueError: another number of elements.
        """
        arrays = self.arrays(file)
        key, endings = _find_array(arrays, file, name)
        full = np.asarray(computed)
        taken = full if rows is None else full[arrays[rows]]
        for kind, step in endings:
            taken = _thin_array(taken, kind, step)
        stored = arrays[key]
        if taken.size != stored.size:
            raise ValueError(
                f"{file}/{key} has the shape {stored.shape}, but {taken.shape} of {full.shape} was computed"
            )
        got, want = taken.ravel().astype(np.float64), stored.ravel().astype(np.float64)
        with np.errstate(invalid="ignore"):
            error = np.where(got == want, 0.0, np.abs(got - want))
        return np.where(np.isnan(error), np.inf, error)


def _load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Load all arrays of an .npz file.

    Raises:
        ValueError: damaged, larger than reference arrays are, or with objects; the message has the file.
    """
    try:
        check_unpacked_size(path, MAX_ARRAY_BYTES, "reference arrays")
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except Exception as error:  # of damaged bytes zlib, struct, ... raise their own
        raise ValueError(f"The reference arrays {path} cannot be read ({error}): get them again") from error


def _find_array(arrays: dict[str, np.ndarray], file: str, name: str) -> tuple[str, list[tuple[str, int]]]:
    """Find the key of an array, and how it was thinned."""
    plain = re.sub(r"(__(sub|rows|every)\d+)+$", "", name)
    key = name if name in arrays else None
    for candidate in arrays:
        if key is None and re.fullmatch(re.escape(name) + r"(__(sub|rows|every)\d+)+", candidate):
            key = candidate
    if key is None:
        raise KeyError(f"Expected an array {name!r} in {file}, but it has {', '.join(arrays)}")
    return key, [(kind, int(step)) for kind, step in re.findall(r"__(sub|rows|every)(\d+)", key[len(plain) :])]


def _thin_array(array: np.ndarray, kind: str, step: int) -> np.ndarray:
    if kind == "sub":
        return array[..., step // 2 :: step, step // 2 :: step]
    return array[..., ::step, :] if kind == "rows" else array.ravel()[::step]
