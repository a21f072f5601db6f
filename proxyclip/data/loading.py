"""Reading label masks as they are: any integer width, one ignore value, a clear error for anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS
from PIL import Image


@TRANSFORMS.register_module()
class MyLoadAnnotations(BaseTransform):
    """Loads `seg_map_path` into `gt_seg_map` (H, W) int32, exact above 255 classes.

    mmseg's LoadAnnotations casts to 8 bits, which turns label 300 into 44 and 65535 into 255 without a word.

    Args:
        reduce_zero_label: raw 0 becomes `ignore_index`, the others move down by one; None takes the dataset's word.
        ignore_index: value of pixels that are not scored, before and after.

    Raises:
        ValueError: the mask is unreadable, coloured, or not of integers; the message names the file and the remedy.
    """

    def __init__(self, reduce_zero_label: bool | None = None, ignore_index: int = 255) -> None:
        self.reduce_zero_label = reduce_zero_label
        self.ignore_index = ignore_index

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        labels = read_mask(results["seg_map_path"])
        if self.reduces(results):
            labels = reduce_zero(labels, self.ignore_index)
        if results.get("label_map"):
            labels = apply_label_map(labels, results["label_map"])
        results["gt_seg_map"] = labels
        results.setdefault("seg_fields", []).append("gt_seg_map")
        return results

    def reduces(self, results: dict[str, Any]) -> bool:
        """Whether zero is dropped; dataset and loader must not contradict each other."""
        of_dataset = results.get("reduce_zero_label")
        mine = self.reduce_zero_label
        if mine is not None and of_dataset is not None and mine != of_dataset:
            raise ValueError(f"reduce_zero_label is {of_dataset} in the dataset but {mine} in the loader: say it once")
        return bool(of_dataset if mine is None else mine)


def read_mask(path: str | Path) -> np.ndarray:
    """Labels of a mask file, (H, W) int32; palette images give their indices."""
    try:
        with Image.open(path) as image:
            bands = len(image.getbands())
            values = np.array(image) if bands == 1 else None
    except FileNotFoundError:
        raise FileNotFoundError(
            f"The mask {path} does not exist: prepare the data set again, or mend its list"
        ) from None
    except (OSError, SyntaxError) as error:
        raise ValueError(f"The mask {path} cannot be read ({error}): copy or convert it again") from error
    if values is None:
        raise ValueError(f"Expected one channel of labels in {path}, but it has {bands} (colours?): convert it to ids")
    whole = values.astype(np.int32)
    if not np.array_equal(whole, values):
        raise ValueError(f"Expected whole numbers in {path}, but it has {values.dtype} fractions: convert it to ids")
    return whole


def reduce_zero(labels: np.ndarray, ignore_index: int) -> np.ndarray:
    """0 -> ignore_index, n -> n - 1, ignore_index stays."""
    return np.where((labels == 0) | (labels == ignore_index), ignore_index, labels - 1).astype(np.int32)


def apply_label_map(labels: np.ndarray, label_map: dict[int, int]) -> np.ndarray:
    """Replace labels by a dataset's map for a subset of its classes."""
    mapped = labels.copy()
    for old, new in label_map.items():
        mapped[labels == old] = new
    return mapped
