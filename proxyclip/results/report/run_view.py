"""Records as the report shows them: names, numbers, badges, best runs."""

import math
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from proxyclip.results import columns
from proxyclip.results.columns import ZERO_SHOT_METRICS, record_value
from proxyclip.results.published import find_published_result
from proxyclip.results.records import to_dense_confusion
from proxyclip.utils.formats import NO_VALUE

MAX_MATRIX_CLASSES = 2048  # of a confusion matrix that is drawn: K x K numbers of 8 bytes, several times
REPORT_METRICS = ("mIoU", "aAcc", "mAcc", "mIoU_gt", "fwIoU", *ZERO_SHOT_METRICS)


class ClassRow(NamedTuple):
    """Class of a run: IoU, accuracy and share of all labelled pixels in percent."""

    number: int
    name: str
    iou: float | None
    acc: float | None
    pixels: int | None
    share: float | None
    unseen: bool = False


class Badge(NamedTuple):
    """Label of a run that limits its comparability, and its explanation."""

    text: str
    why: str


def to_finite_float(value: Any) -> float | None:
    """Convert a number to a finite float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


class RunView:
    """One record.

    Attributes:
        anchor: its id in the page.
        dataset: name of the config without folder and `cfg_`, the same for all methods.
        zero_shot: True if the run has means over seen and unseen classes.
        difference: of mIoU and the published one, in points.
        origin: source of the published number; empty without one.
        classes_in: number of classes in mIoU and mIoU_gt.
        left_out: (file, reason) of the images that were left out.
        whole: True if the run covers the full data set with the default scoring.
        rankable: True if it may be called the best: whole, nothing approximated, and the code stayed the same.
        key: equal for runs on the same images and classes, which compare.
    """

    def __init__(self, record: Mapping[str, Any], anchor: str = "run") -> None:
        self.record = record
        self.anchor = anchor
        self.id = str(record.get("identity"))
        self.config = str(record.get("config_name") or record_value(record, "dataset.type", "unknown"))
        self.dataset = self.config.rsplit("/", 1)[-1].removeprefix("cfg_")
        self.method = str(record.get("method") or "-")
        clip = str(record_value(record, "arguments.model_type", "-"))
        if clip.startswith("local-dir:"):
            clip = f"{clip.rstrip('/').rsplit('/', 1)[-1].removeprefix('local-dir:')} (local)"
        self.clip = " ".join(filter(None, [clip, str(record_value(record, "arguments.clip_type", ""))]))
        self.vfm = columns.format_vfm(record)
        self.label = " · ".join([self.method, *([] if self.vfm == "none" else [self.vfm]), self.clip])
        self.metrics = {name: to_finite_float(record_value(record, f"metrics.{name}")) for name in REPORT_METRICS}
        self.miou = self.metrics["mIoU"]
        self.zero_shot = any(self.metrics[name] is not None for name in ZERO_SHOT_METRICS)
        self.target = find_published_result(record)
        self.difference = to_finite_float(columns.compute_published_difference(record))
        self.origin = columns.describe_published_source(record) or ""
        self.speed = to_finite_float(record.get("images_per_second"))
        self.precision = str(record_value(record, "precision", NO_VALUE))
        self.classes_in = tuple(record_value(record, f"classes_in.{name}") for name in ("mIoU", "mIoU_gt"))
        images = to_finite_float(record_value(record, "dataset.images"))
        self.images = None if images is None else int(images)
        left_out = [entry for entry in record_value(record, "left_out", []) if isinstance(entry, Mapping)]
        self.left_out = [(str(entry.get("file", "-")), str(entry.get("why", "-"))) for entry in left_out]
        correct = record_value(record, "scoring", "correct") == "correct"
        self.whole = correct and columns.is_whole_dataset(record)
        self.rankable = columns.is_rankable(record)
        self.classes = _list_classes(record)
        self.names = [row.name for row in self.classes]
        self.key = (self.dataset, record_value(record, "dataset.list_sha256"), tuple(self.names))

    def name(self, index: int) -> str:
        """Name of a class, or its number where the record has no names."""
        return self.names[index] if 0 <= index < len(self.names) else f"class {index}"

    @cached_property
    def confusion(self) -> np.ndarray | None:
        """(K, K) int64, rows are labels; None where the record has none, or one that is too large to draw."""
        if not 0 < record_value(self.record, "confusion.classes", 0) <= MAX_MATRIX_CLASSES:
            return None
        matrix = to_dense_confusion(self.record)
        return matrix if matrix.sum() else None

    @cached_property
    def per_image(self) -> dict[str, tuple[float | None, float | None]]:
        """File -> (mIoU, aAcc) in percent, in the order of the data set."""
        files = record_value(self.record, "per_image.file", [])
        scores = [record_value(self.record, f"per_image.{name}", []) for name in ("mIoU", "aAcc")]
        mious, accs = (column if len(column) == len(files) else [None] * len(files) for column in scores)
        rows = zip(files, mious, accs, strict=True)
        return {str(file): (to_finite_float(miou), to_finite_float(acc)) for file, miou, acc in rows}


def _list_classes(record: Mapping[str, Any]) -> list[ClassRow]:
    rows = [row for row in record_value(record, "per_class", []) if isinstance(row, Mapping)]
    pixels = [to_finite_float(row.get("pixels")) for row in rows]
    total = sum(count for count in pixels if count is not None)
    classes = []
    for i, (row, count) in enumerate(zip(rows, pixels, strict=True)):
        share = 100 * count / total if count is not None and total else None
        iou, acc = (to_finite_float(row.get(name)) for name in ("iou", "acc"))
        number = None if count is None else int(count)
        name = str(row.get("name", f"class {i}"))
        classes.append(ClassRow(i, name, iou, acc, number, share, row.get("unseen") is True))
    return classes


def build_run_views(records: Sequence[Mapping[str, Any]]) -> list[RunView]:
    """Build the views of records, by data set, best mIoU first, anchors unique."""
    runs = []
    anchors = set()
    for record in records:
        anchor = base = "run-" + re.sub(r"[^\w-]", "-", str(record.get("identity")), flags=re.ASCII)
        copies = 1
        while anchor in anchors:
            copies += 1
            anchor = f"{base}-{copies}"
        anchors.add(anchor)
        runs.append(RunView(record, anchor))
    return sorted(runs, key=lambda run: (run.dataset, -(-1 if run.miou is None else run.miou), run.id))


def find_best_anchors(runs: Sequence[RunView]) -> set[str]:
    """Find the best of several runs on the same images and classes.

    Only runs on all images, scored as usual and without approximations are ranked; of one data set with several lists
    of images only the longest ones.
    """
    groups: dict[tuple[Any, ...], list[RunView]] = {}
    for run in runs:
        if run.rankable and run.miou is not None:
            groups.setdefault(run.key, []).append(run)
    max_images: dict[tuple[Any, ...], int] = {}
    for (dataset, _, names), members in groups.items():
        images = max(run.images or 0 for run in members)
        max_images[dataset, names] = max(images, max_images.get((dataset, names), 0))
    anchors = set()
    for (dataset, _, names), members in groups.items():
        candidates = [run for run in members if (run.images or 0) == max_images[dataset, names]]
        if len(candidates) > 1:
            anchors.add(max(candidates, key=lambda run: (run.miou or 0, run.id)).anchor)
    return anchors


def list_badges(run: RunView) -> list[Badge]:
    """List the badges of a run that limit its comparability."""
    record = run.record
    left_out = len(run.left_out)
    resumed = record.get("resumed_images")
    dirty = (record.get("git") or {}).get("dirty")
    scoring = record.get("scoring") or "correct"
    keys = ("approximations", "changes", "changed_code")
    approximations, changes, changed_code = (", ".join(map(str, record.get(key) or [])) for key in keys)
    partial_text = f"Only the first {run.images} images of the data set were evaluated (--limit)."
    left_out_text = f"{left_out} image(s) could not be read and were left out (--skip-bad)."
    badges = (
        (record.get("partial"), "partial", partial_text),
        (approximations, "approximate", f"Computed in a shorter way: {approximations}."),
        (left_out, f"{left_out} left out", left_out_text),
        (resumed, "resumed", f"{resumed} images were taken over from an interrupted run."),
        (dirty, "dirty", "The checkout had changes that no commit holds when this ran."),
        (changed_code, "code changed", f"Changed while it ran, so that its code is not certain: {changed_code}."),
        (changes, "changed", f"Settings other than the config's: {changes}."),
        (scoring != "correct", f"{scoring} scoring", "Scored by another rule than the other runs (--scoring)."),
    )
    return [Badge(text, why) for shown, text, why in badges if shown]
