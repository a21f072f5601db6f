"""Label maps as they are: exact integers of any width, one ignore value, an error for all that is no label map."""

from __future__ import annotations

import io
from typing import Any

import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS
from PIL import Image


@TRANSFORMS.register_module()
class MyLoadAnnotations(BaseTransform):
    """Loads `seg_map_path` into `gt_seg_map` (H, W) int32, exact above 255 classes.

    MMSegmentation's LoadAnnotations casts to 8 bits, which turns label 300 into 44 and 65535 into 255 without a word.
    Labels are classes 0..num_classes-1 or the ignore value; a sample without `num_classes` may have any.

    Args:
        reduce_zero_label: raw 0 becomes the ignore value, the others move down by one; None takes the dataset's word.
        ignore_index: value of pixels that are not scored, before and after; None takes the dataset's word, else 255.
        backend_args: of mmengine's file reader.
        imdecode_backend: 'pillow', the only one that leaves palette and 16-bit images as they are.
    """

    def __init__(
        self,
        reduce_zero_label: bool | None = None,
        ignore_index: int | None = None,
        backend_args: dict | None = None,
        imdecode_backend: str = "pillow",
    ) -> None:
        if imdecode_backend != "pillow":
            raise ValueError(f"Expected `imdecode_backend` to be 'pillow', but got {imdecode_backend!r}")
        self.reduce_zero_label, self.ignore_index = reduce_zero_label, ignore_index
        self.backend_args = backend_args

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Read one label map.

        Raises:
            ValueError: it is no label map, or has a label that is neither a class nor the ignore value.
            OSError: it cannot be read.
        """
        path = results["seg_map_path"]
        ignore = agree("ignore_index", self.ignore_index, results, 255)
        reduce_zero = agree("reduce_zero_label", self.reduce_zero_label, results, False)
        labels = decode(fileio.get(path, backend_args=self.backend_args), path)
        check(labels, results.get("num_classes"), ignore, reduce_zero, path)
        if reduce_zero:
            labels = reduce_zero_label(labels, ignore)
        if results.get("label_map"):
            labels = choose(labels, results["label_map"], ignore)
        results["gt_seg_map"] = labels
        results.setdefault("seg_fields", []).append("gt_seg_map")
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(reduce_zero_label={self.reduce_zero_label}, ignore_index={self.ignore_index})"


def agree(name: str, mine: Any, of_dataset: dict[str, Any], default: Any) -> Any:
    """The one value of a setting that the dataset and its user may both say; ValueError if they contradict."""
    theirs = of_dataset.get(name)
    if mine is not None and theirs is not None and mine != theirs:
        raise ValueError(f"{name} is {theirs} in the dataset but {mine} in the config of its user: say it once")
    return next((value for value in (mine, theirs) if value is not None), default)


def decode(data: bytes, path: str) -> np.ndarray:
    """The label map in an image file, (H, W) int32; palette images give their indices.

    Raises:
        OSError: unreadable, or cut short.
        ValueError: more than one channel, lossy, or fractions.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            bands, kind = image.getbands(), image.format
            values = np.array(image) if len(bands) == 1 else None
    except (OSError, SyntaxError, ValueError) as error:
        said = "is empty" if not data else f"cannot be read ({' '.join(str(error).split())})"
        raise OSError(f"The label map {path} {said}: copy or convert it again") from error
    if values is None:
        raise ValueError(
            f"Expected one channel of labels in {path}, but it has {len(bands)} ({''.join(bands)}): convert the "
            "colours to class indices, or name the folder of index masks"
        )
    if kind == "JPEG":
        raise ValueError(f"The label map {path} is a JPEG, which changes labels: make it again as PNG or TIFF")
    whole = values.astype(np.int32) if np.isfinite(values).all() else None
    if whole is None or not np.array_equal(whole, values):
        raise ValueError(f"Expected whole numbers in {path}, but it has {values.dtype} fractions: convert it to ids")
    return whole


def check(labels: np.ndarray, classes: int | None, ignore: int, reduce_zero: bool, path: str) -> None:
    """Raise ValueError on labels (as in the file) that are neither a class nor `ignore`."""
    top = 2**31 - 1 if classes is None else classes - (not reduce_zero)
    wrong = ((labels < 0) | (labels > top)) & (labels != ignore)
    if wrong.any():
        values = np.unique(labels[wrong])
        shown = ", ".join(map(str, values[:5])) + (", ..." if len(values) > 5 else "")
        raise ValueError(
            f"Expected labels 0..{top} or {ignore} (ignored) in {path}, but {wrong.sum()} pixels have {shown}: is this "
            f"a converted label map of this data set, and is reduce_zero_label={reduce_zero} right for it? Another "
            "mark of unlabelled pixels is set by the dataset's ignore_index"
        )


def reduce_zero_label(labels: np.ndarray, ignore: int) -> np.ndarray:
    """0 -> ignore, n -> n - 1, ignore stays; no two labels meet, whatever the number of classes."""
    return np.where((labels == 0) | (labels == ignore), ignore, labels - 1).astype(np.int32)


def choose(labels: np.ndarray, label_map: dict[int, int], ignore: int) -> np.ndarray:
    """Renumber to a subset of classes. MMSegmentation marks the others with 255; they become `ignore`."""
    chosen = np.full_like(labels, ignore)
    for old, new in label_map.items():
        chosen[labels == old] = ignore if new == 255 else new
    return chosen
