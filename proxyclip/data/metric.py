"""Mean IoU over a whole set, as mmseg defines it, on exact counts.

Areas are summed over all images first, IoU is taken per class, and the mean leaves out classes that occur neither in
the ground truth nor in the predictions (nanmean). Counts are int64, and labels keep their own width, so it is safe
above 255 classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmseg.registry import METRICS


@METRICS.register_module()
class SegMetric(BaseMetric):
    """mIoU, mAcc and aAcc in percent; `per_class` and `confusion` (label, prediction) after `compute_metrics`.

    Args:
        ignore_index: label that is not scored; None takes the dataset's.
        iou_metrics: only mIoU is known; kept so that published configs can name it.

    Raises:
        ValueError: prediction and label differ in size, or a label is no class; the message names the file.
    """

    default_prefix = ""

    def __init__(
        self,
        ignore_index: int | None = None,
        iou_metrics: Sequence[str] = ("mIoU",),
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if list(iou_metrics) != ["mIoU"]:
            raise ValueError(f"Expected iou_metrics=['mIoU'], but got {list(iou_metrics)}")
        self.ignore_index = ignore_index
        self.per_class: list[dict[str, Any]] = []
        self.confusion = np.zeros((0, 0), np.int64)

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Count one batch: samples with `pred_sem_seg` and `gt_sem_seg` of (1, H, W)."""
        meta = self.dataset_meta or {}
        classes = len(meta["classes"])
        ignore = self.ignore_index if self.ignore_index is not None else meta.get("ignore_index", 255)
        for sample in data_samples:
            prediction = sample["pred_sem_seg"]["data"][0].long()
            label = sample["gt_sem_seg"]["data"][0].to(prediction)
            file = sample.get("seg_map_path") or sample.get("img_path") or "an image"
            self.results.append(count(prediction, label, classes, ignore, str(file)))

    def compute_metrics(self, results: list) -> dict[str, float]:
        classes = list((self.dataset_meta or {})["classes"])
        matrix = np.zeros(len(classes) ** 2, np.int64)
        for pairs, counts in results:
            matrix[pairs] += counts
        self.confusion = matrix.reshape(len(classes), len(classes))
        summary, iou, acc = scores(self.confusion)
        pixels = self.confusion.sum(1)
        self.per_class = [
            dict(name=name, iou=float(i), acc=float(a), pixels=int(n))
            for name, i, a, n in zip(classes, iou, acc, pixels, strict=True)
        ]
        return summary


def count(
    prediction: torch.Tensor, label: torch.Tensor, classes: int, ignore: int, file: str
) -> tuple[np.ndarray, np.ndarray]:
    """How often each (label, prediction) pair occurs in one image: (pairs label * classes + prediction, counts)."""
    if prediction.shape != label.shape:
        raise ValueError(
            f"{file} is {tuple(label.shape)} but its prediction {tuple(prediction.shape)} (height, width): "
            "the mask does not belong to the image, or one of them is rotated"
        )
    kept = label != ignore
    label, prediction = label[kept], prediction[kept]
    wrong = label[(label < 0) | (label >= classes)].unique().tolist()
    if wrong:
        raise ValueError(f"Expected labels 0..{classes - 1} or {ignore} (ignored) in {file}, but it has {wrong[:10]}")
    counts = torch.bincount(label * classes + prediction, minlength=classes**2)
    pairs = counts.nonzero().flatten()
    return pairs.cpu().numpy(), counts[pairs].cpu().numpy()


def scores(confusion: np.ndarray) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    """(K, K) counts -> mIoU, mAcc and aAcc, and IoU and accuracy of each class; all in percent, NaN where undefined."""
    hit, labels, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        iou = 100 * hit / (labels + predicted - hit)
        acc = 100 * hit / labels
        overall = 100 * hit.sum() / labels.sum()
    return dict(aAcc=float(overall), mIoU=_nanmean(iou), mAcc=_nanmean(acc)), iou, acc


def _nanmean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
