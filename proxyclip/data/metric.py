"""Mean IoU over a whole set, as MMSegmentation defines it, on exact counts.

Areas are summed over all images first, IoU is taken per class, and the mean leaves out classes that occur neither in
the ground truth nor in the predictions (nanmean); a class that is predicted but never labelled counts as 0. Counts are
int64, and labels keep their own width, so it is safe above 255 classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import MMLogger, print_log
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from PIL import Image
from prettytable import PrettyTable
from torch import Tensor

from .loading import agree

Counts = tuple[np.ndarray, np.ndarray]


@METRICS.register_module()
class SegMetric(IoUMetric):
    """IoUMetric on a confusion matrix: mIoU, mAcc and aAcc in percent, unrounded.

    After `compute_metrics` (in process 0): `confusion` (K, K) int64, rows are labels and columns predictions; and
    `per_class`, a list of dict(name, iou, acc, pixels) in percent and labelled pixels, NaN where undefined.

    Args:
        ignore_index: label that is not scored; None takes the dataset's word, else 255.
        iou_metrics: mIoU, mDice, mFscore, as in IoUMetric.
        output_dir: where to write predictions, PNG of 8 bits, above 255 classes of 16; one is added where the dataset
            has reduce_zero_label, as in its files.
        format_only: write predictions, score nothing.
    """

    default_prefix = ""

    def __init__(
        self,
        ignore_index: int | None = None,
        iou_metrics: Sequence[str] | str = ("mIoU",),
        nan_to_num: int | None = None,
        beta: int = 1,
        collect_device: str = "cpu",
        collect_dir: str | None = None,
        output_dir: str | None = None,
        format_only: bool = False,
        prefix: str | None = None,
    ) -> None:
        metrics = [iou_metrics] if isinstance(iou_metrics, str) else list(iou_metrics)
        super().__init__(255, metrics, nan_to_num, beta, collect_device, output_dir, format_only, prefix)
        self.ignore_index = ignore_index
        self.collect_dir = collect_dir
        self.confusion = np.zeros((0, 0), np.int64)
        self.per_class: list[dict[str, Any]] = []

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Count the label-prediction pairs of samples with `pred_sem_seg` and `gt_sem_seg` of (1, H, W).

        Raises:
            ValueError: prediction and label differ in size, or one has a value that is no class.
        """
        meta = self.dataset_meta or {}
        classes, ignore = len(meta["classes"]), agree("ignore_index", self.ignore_index, meta, 255)
        for sample in data_samples:
            file = str(sample.get("img_path", "an image"))
            prediction = sample["pred_sem_seg"]["data"][0]
            if not self.format_only:
                label = sample["gt_sem_seg"]["data"][0]
                self.results.append(count_pairs(prediction, label, classes, ignore, file))
            if self.output_dir is not None:
                shift = int(bool(sample.get("reduce_zero_label")))
                width = np.uint8 if classes + shift <= 256 else np.uint16
                picture = Image.fromarray((prediction.cpu().numpy() + shift).astype(width))
                picture.save(Path(self.output_dir) / f"{Path(file).stem}.png")

    def compute_metrics(self, results: list[Counts]) -> dict[str, float]:
        """The metrics in percent; also logs the table of classes.

        Raises:
            ValueError: there is no labelled pixel.
        """
        if self.format_only:
            return {}
        meta = self.dataset_meta or {}
        names = list(meta["classes"])
        self.confusion = sum_pairs(results, len(names))
        if not self.confusion.any():
            raise ValueError(f"There is nothing to score: {len(results)} images without a pixel that is not ignored")
        labels, predicted = (torch.from_numpy(self.confusion.sum(i)).double() for i in (1, 0))
        hits = torch.from_numpy(self.confusion.diagonal().copy()).double()
        union = labels + predicted - hits
        columns = self.total_area_to_metrics(hits, union, predicted, labels, self.metrics, self.nan_to_num, self.beta)
        self.per_class = [
            dict(name=name, iou=100 * iou, acc=100 * acc, pixels=int(pixels))
            for name, iou, acc, pixels in zip(
                names, (hits / union).tolist(), (hits / labels).tolist(), labels.tolist(), strict=True
            )
        ]
        table = PrettyTable()
        table.add_column("Class", names)
        for key, values in columns.items():
            if key != "aAcc":
                table.add_column(key, [f"{100 * value:.2f}" for value in values])
        print_log(f"per class results:\n{table.get_string()}", MMLogger.get_current_instance())
        return {k if k == "aAcc" else f"m{k}": 100 * float(np.nanmean(v)) for k, v in columns.items()}


def count_pairs(prediction: Tensor, label: Tensor, classes: int, ignore: int, file: str) -> Counts:
    """How often each pair occurs in one image: (pairs label * classes + prediction, counts), both (n,) int64.

    Small enough to keep for every image of a set with 847 classes.

    Raises:
        ValueError: (H, W) differ, or a value is no class; the message names `file`.
    """
    if prediction.shape != label.shape:
        raise ValueError(
            f"The label map of {file} is {tuple(label.shape)} but the prediction {tuple(prediction.shape)} (height, "
            "width): the label map does not belong to the image, or one of them is rotated"
        )
    label = label.to(prediction.device, torch.int64)
    kept = label != ignore
    label, prediction = label[kept], prediction[kept].to(torch.int64)
    for what, values in (("labels", label), ("predictions", prediction)):
        wrong = values[(values < 0) | (values >= classes)].unique().tolist()
        if wrong:
            raise ValueError(f"Expected {what} 0..{classes - 1} for {file} ({ignore} is ignored), but got {wrong[:10]}")
    counts = torch.bincount(label * classes + prediction)
    pairs = counts.nonzero().flatten()
    return pairs.cpu().numpy(), counts[pairs].cpu().numpy()


def sum_pairs(results: Sequence[Counts], classes: int) -> np.ndarray:
    """The (classes, classes) int64 confusion matrix of a set."""
    matrix = np.zeros(classes**2, np.int64)
    for pairs, counts in results:
        matrix[pairs] += counts
    return matrix.reshape(classes, classes)
