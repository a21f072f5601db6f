"""Mean IoU over a set on exact counts, by MMSegmentation's and detectron2's rule.

Areas are summed over all images first and IoU is taken per class. Which classes the mean is over differs:

- `mIoU` (MMSegmentation): classes that occur in the ground truth or in the predictions; a class that is predicted but
  never labeled counts as 0.
- `mIoU_gt` (detectron2, used by MaskFormer and CAT-Seg): classes that occur in the ground truth.

They differ where a set lacks classes, as Context-459 and ADE20K-847 do. `mAcc` is over classes of the ground truth in
both, `fwIoU` weighs IoU with the labeled pixels of its class, `aAcc` is the share of labeled pixels that are right.
Counts are int64, and labels keep their own width, so it is safe above 255 classes.

Of a data set with a zero-shot split (`unseen` in its metainfo) there are also `mIoU_seen`, `mIoU_unseen` and their
harmonic mean `hIoU`; `splits.means` has the formula.
"""

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import MMLogger, print_log
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from PIL import Image
from rich.box import ASCII
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from proxyclip.data.splits import compute_zero_shot_means, resolve_unseen_ids
from proxyclip.data.transforms import resolve_dataset_setting

# Pairs label * classes + prediction of an image, and the number of pixels of each: both (n,) int64.
PairCounts = tuple[np.ndarray, np.ndarray]
SCORING_RULES = ("correct", "published")
PUBLISHED_IGNORE = 255


@METRICS.register_module(name=["SegMetric", "IoUMetric"], force=True)
class SegMetric(IoUMetric):
    """IoUMetric on a confusion matrix: mIoU, mIoU_gt, mAcc, aAcc, fwIoU in percent.

    Takes the place of MMSegmentation's IoUMetric, whose ignored value is 255 whatever the dataset says.

    After `compute_metrics` (in process 0): `confusion` (K, K) int64, rows are labels and columns predictions;
    `per_class`, a list of dict(name, iou, acc, pixels) in percent and labeled pixels, NaN where undefined, and with
    a zero-shot split `unseen`; and `classes_in`, the number of classes in each of the means of IoU.

    Args:
        ignore_index: label that is not scored; None takes that of the dataset, else 255.
        iou_metrics: mIoU, mDice, mFscore, as in IoUMetric.
        output_dir: where to write predictions, PNG of 8 bits, above 256 values of 16; one is added where the dataset
            has reduce_zero_label, as in its files.
        format_only: write predictions, score nothing.
        scoring: 'correct', or 'published' for the numbers of the published ADE20K-847 and Context-459 configs: they
            ignore 255, a class there, and count predictions on the pixels labeled 65535 as false (they have no row in
            `confusion`). Nothing changes for data sets that ignore 255.
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
        scoring: str = "correct",
    ) -> None:
        if scoring not in SCORING_RULES:
            raise ValueError(f"Expected `scoring` to be one of {', '.join(SCORING_RULES)}, but got {scoring!r}")
        metrics = [iou_metrics] if isinstance(iou_metrics, str) else list(iou_metrics)
        super().__init__(255, metrics, nan_to_num, beta, collect_device, output_dir, format_only, prefix)
        self.ignore_index = ignore_index
        self.scoring = scoring
        self.collect_dir = collect_dir
        self.confusion: np.ndarray = np.zeros((0, 0), np.int64)
        self.per_class: list[dict[str, Any]] = []
        self.classes_in: dict[str, int] = {}

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Count the label-prediction pairs of samples, whose label maps are (1, H, W).

        Raises:
            ValueError: prediction and label differ in size, or one has a value that is no class.
        """
        meta = self.dataset_meta or {}
        classes = len(meta["classes"])
        ignore = resolve_dataset_setting("ignore_index", self.ignore_index, meta, 255)
        for sample in data_samples:
            file = str(sample.get("img_path", "an image"))
            prediction = sample["pred_sem_seg"]["data"][0]
            if not self.format_only:
                label = sample["gt_sem_seg"]["data"][0]
                published = self.scoring == "published" and ignore != PUBLISHED_IGNORE
                if published:
                    label = relabel_as_published(label, classes, ignore)
                self.results.append(count_pairs(prediction, label, classes, ignore, file, outside=published))
            if self.output_dir is not None:
                write_prediction(prediction, classes, bool(sample.get("reduce_zero_label")), self.output_dir, file)

    def score(self, results: list[PairCounts]) -> dict[str, float]:
        """Compute the metrics of counts of images, under the names of `evaluate`."""
        metrics = self.compute_metrics(results)
        return {f"{self.prefix}/{name}": value for name, value in metrics.items()} if self.prefix else metrics

    def compute_metrics(self, results: list[PairCounts]) -> dict[str, float]:
        """Compute the metrics in percent, and log the table of classes.

        Raises:
            ValueError: there is no labeled pixel, or `unseen` of the data set is no split of its classes.
        """
        if self.format_only:
            return {}
        names = list((self.dataset_meta or {})["classes"])
        counts = sum_pairs(results, len(names))
        self.confusion = counts[:-1]
        outside = counts[-1]
        if not self.confusion.any():
            raise ValueError(f"There is nothing to score: {len(results)} images without a pixel that is not ignored")
        labels = torch.from_numpy(self.confusion.sum(1)).double()
        predicted = torch.from_numpy(self.confusion.sum(0) + outside).double()
        hits = torch.from_numpy(self.confusion.diagonal().copy()).double()
        union = labels + predicted - hits
        columns = self.total_area_to_metrics(hits, union, predicted, labels, self.metrics, self.nan_to_num, self.beta)
        iou = (hits / union).numpy()
        accuracy = (hits / labels).numpy()
        present = (labels > 0).numpy()
        self.classes_in = {"mIoU": int((~np.isnan(iou)).sum()), "mIoU_gt": int(present.sum())}
        rows = zip(names, (100 * iou).tolist(), (100 * accuracy).tolist(), labels.long().tolist(), strict=True)
        self.per_class = [dict(zip(("name", "iou", "acc", "pixels"), row, strict=True)) for row in rows]
        table = format_class_table(names, {name: values for name, values in columns.items() if name != "aAcc"})
        print_log(f"per class results:\n{table}", MMLogger.get_current_instance())
        averages = {name: 100 * float(np.nanmean(values)) for name, values in columns.items()}
        means = {name if name == "aAcc" else f"m{name}": value for name, value in averages.items()}
        weights = labels.numpy()[present]
        by_rule = {"mIoU_gt": iou[present].mean(), "fwIoU": (iou[present] * weights).sum() / weights.sum()}
        means |= {name: 100 * float(value) for name, value in by_rule.items()}
        return means | self._zero_shot(iou, names)

    def _zero_shot(self, iou: np.ndarray, names: list[str]) -> dict[str, float]:
        """Compute the means over seen and unseen classes, and mark the classes."""
        unseen = (self.dataset_meta or {}).get("unseen")
        if unseen is None:
            return {}
        unseen = resolve_unseen_ids(unseen, names)
        for k, row in enumerate(self.per_class):
            row["unseen"] = k in unseen
        unseen_count = int((~np.isnan(iou[list(unseen)])).sum())
        self.classes_in |= {"mIoU_seen": self.classes_in["mIoU"] - unseen_count, "mIoU_unseen": unseen_count}
        return {name: 100 * value for name, value in compute_zero_shot_means(iou, unseen).items()}


def format_class_table(names: Sequence[str], columns: Mapping[str, Sequence[float]]) -> str:
    """Format metrics of classes, in [0, 1], as a table of percentages."""
    table = Table("Class", *columns, box=ASCII)
    for column in table.columns:
        column.no_wrap = True
    for name, *values in zip(names, *columns.values(), strict=True):
        table.add_row(escape(name), *(f"{100 * value:.2f}" for value in values))
    output = StringIO()
    console = Console(file=output, width=10_000, color_system=None, emoji=False, highlight=False, force_jupyter=False)
    console.print(table)
    return output.getvalue().rstrip()


def score_image(result: PairCounts, classes: int) -> tuple[float, float]:
    """Compute (mIoU, aAcc) of one image in percent; NaN without a labeled pixel.

    The mean of IoU is over the classes labeled or predicted in the image.
    """
    pairs, counts = result
    label, prediction = np.divmod(pairs, classes)
    labeled = np.bincount(label, counts, classes + 1)[:classes]
    predicted = np.bincount(prediction, counts, classes)
    hits = np.bincount(label[label == prediction], counts[label == prediction], classes)
    union = labeled + predicted - hits
    if not labeled.any():
        return np.nan, np.nan
    present = union > 0
    return 100 * float(np.mean(hits[present] / union[present])), 100 * float(hits.sum() / labeled.sum())


def relabel_as_published(label: Tensor, classes: int, ignore: int) -> Tensor:
    """Change labels to those that the published 16-bit configs score.

    Class 255 is ignored, and unlabeled pixels become `classes`, a label that no prediction meets.
    """
    label = label.to(torch.int64)
    unlabeled = label == ignore
    ignored = label == PUBLISHED_IGNORE
    return label.masked_fill(unlabeled, classes).masked_fill(ignored, ignore)


def count_pairs(
    prediction: Tensor, label: Tensor, classes: int, ignore: int, file: str, outside: bool = False
) -> PairCounts:
    """Count the pairs of label and prediction in one image.

    Small enough to keep for every image of a set with 847 classes. With `outside`, the label `classes` is allowed too.

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
    label = label[kept]
    prediction = prediction[kept].to(torch.int64)
    for name, values, limit in (("labels", label, classes + outside), ("predictions", prediction, classes)):
        wrong = values[(values < 0) | (values >= limit)].unique().tolist()
        if wrong:
            raise ValueError(f"Expected {name} 0..{classes - 1} for {file} ({ignore} is ignored), but got {wrong[:10]}")
    counts = torch.bincount(label * classes + prediction)
    pairs = counts.nonzero().flatten()
    return pairs.cpu().numpy(), counts[pairs].cpu().numpy()


def sum_pairs(results: Sequence[PairCounts], classes: int) -> np.ndarray:
    """Sum counts to (classes + 1, classes) int64; the last row is of label `classes`."""
    matrix = np.zeros((classes + 1) * classes, np.int64)
    for pairs, counts in results:
        matrix[pairs] += counts
    return matrix.reshape(classes + 1, classes)


def write_prediction(prediction: Tensor, classes: int, reduce_zero: bool, folder: str, file: str) -> None:
    """Write labels as in the files of the data set: PNG of 8 bits, or of 16."""
    dtype = np.uint8 if classes + reduce_zero <= 256 else np.uint16
    image = Image.fromarray((prediction.cpu().numpy() + int(reduce_zero)).astype(dtype))
    image.save(Path(folder) / f"{Path(file).stem}.png")
