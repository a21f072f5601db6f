"""Records as the report shows them: names, numbers, badges, best runs."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from proxyclip.results.columns import (
    ZERO_SHOT_METRICS,
    compute_published_difference,
    describe_published_source,
    format_vfm,
    is_whole_dataset,
    record_value,
)
from proxyclip.results.published import PublishedResult, find_published_result
from proxyclip.results.records import to_dense_confusion
from proxyclip.utils.formats import NO_VALUE

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


@dataclass(frozen=True)
class RunView:
    """One record. `anchor` is its id in the page."""

    record: Mapping[str, Any]
    anchor: str = "run"

    @cached_property
    def id(self) -> str:
        return str(self.record.get("identity"))

    @cached_property
    def config(self) -> str:
        return str(self.record.get("config_name") or record_value(self.record, "dataset.type", "unknown"))

    @cached_property
    def dataset(self) -> str:
        """Name of the config without folder and `cfg_`, the same for all methods."""
        return self.config.rsplit("/", 1)[-1].removeprefix("cfg_")

    @cached_property
    def method(self) -> str:
        return str(self.record.get("method") or "-")

    @cached_property
    def clip(self) -> str:
        name = str(record_value(self.record, "arguments.model_type", "-"))
        if name.startswith("local-dir:"):
            name = f"{name.rstrip('/').rsplit('/', 1)[-1].removeprefix('local-dir:')} (local)"
        return " ".join(filter(None, [name, str(record_value(self.record, "arguments.clip_type", ""))]))

    @cached_property
    def vfm(self) -> str:
        return format_vfm(self.record)

    @cached_property
    def label(self) -> str:
        return " · ".join([self.method, *([] if self.vfm == "none" else [self.vfm]), self.clip])

    @cached_property
    def metrics(self) -> dict[str, float | None]:
        return {name: to_finite_float(record_value(self.record, f"metrics.{name}")) for name in REPORT_METRICS}

    @cached_property
    def miou(self) -> float | None:
        return self.metrics["mIoU"]

    @property
    def zero_shot(self) -> bool:
        """True if the run has means over seen and unseen classes."""
        return any(self.metrics[name] is not None for name in ZERO_SHOT_METRICS)

    @cached_property
    def target(self) -> PublishedResult | None:
        return find_published_result(self.record)

    @cached_property
    def difference(self) -> float | None:
        """Difference of mIoU and the published one, in points."""
        return to_finite_float(compute_published_difference(self.record))

    @cached_property
    def origin(self) -> str:
        """Source of the published number; empty without one."""
        return describe_published_source(self.record) or ""

    @cached_property
    def speed(self) -> float | None:
        return to_finite_float(self.record.get("images_per_second"))

    @cached_property
    def precision(self) -> str:
        return str(record_value(self.record, "precision", NO_VALUE))

    @cached_property
    def classes_in(self) -> tuple[int | None, int | None]:
        """Number of classes in mIoU and mIoU_gt."""
        return record_value(self.record, "classes_in.mIoU"), record_value(self.record, "classes_in.mIoU_gt")

    @cached_property
    def images(self) -> int | None:
        count = to_finite_float(record_value(self.record, "dataset.images"))
        return None if count is None else int(count)

    @cached_property
    def left_out(self) -> list[tuple[str, str]]:
        """(file, reason) of the images that were left out."""
        entries = [entry for entry in record_value(self.record, "left_out", []) if isinstance(entry, Mapping)]
        return [(str(entry.get("file", "-")), str(entry.get("why", "-"))) for entry in entries]

    @property
    def whole(self) -> bool:
        """True if the run covers the full data set with the default scoring."""
        return is_whole_dataset(self.record) and record_value(self.record, "scoring", "correct") == "correct"

    @cached_property
    def classes(self) -> list[ClassRow]:
        rows = [row for row in record_value(self.record, "per_class", []) if isinstance(row, Mapping)]
        pixels = [to_finite_float(row.get("pixels")) for row in rows]
        total = sum(count for count in pixels if count is not None)
        return [
            ClassRow(
                i,
                str(row.get("name", f"class {i}")),
                to_finite_float(row.get("iou")),
                to_finite_float(row.get("acc")),
                None if count is None else int(count),
                100 * count / total if count is not None and total else None,
                row.get("unseen") is True,
            )
            for i, (row, count) in enumerate(zip(rows, pixels, strict=True))
        ]

    @cached_property
    def names(self) -> list[str]:
        return [row.name for row in self.classes]

    def name(self, index: int) -> str:
        """Name of a class, or its number where the record has no names."""
        return self.names[index] if 0 <= index < len(self.names) else f"class {index}"

    @cached_property
    def confusion(self) -> np.ndarray | None:
        """(K, K) int64, rows are labels; None where the record has none."""
        try:
            matrix = to_dense_confusion(self.record)
        except (KeyError, TypeError, IndexError, ValueError):
            return None
        return matrix if matrix.sum() else None

    @cached_property
    def per_image(self) -> dict[str, tuple[float | None, float | None]]:
        """File -> (mIoU, aAcc) in percent, in the order of the data set."""
        files = record_value(self.record, "per_image.file", [])
        scores = [record_value(self.record, f"per_image.{name}", []) for name in ("mIoU", "aAcc")]
        mious, accs = (column if len(column) == len(files) else [None] * len(files) for column in scores)
        rows = zip(files, mious, accs, strict=True)
        return {str(file): (to_finite_float(miou), to_finite_float(acc)) for file, miou, acc in rows}

    @cached_property
    def key(self) -> tuple[Any, ...]:
        """Key that is equal for runs on the same images and classes, which compare."""
        return self.dataset, record_value(self.record, "dataset.list_sha256"), tuple(self.names)


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
    """Find the best of several runs of a data set; partial ones only among themselves."""
    anchors = set()
    for dataset in {run.dataset for run in runs}:
        scored_runs = [run for run in runs if run.dataset == dataset and run.miou is not None]
        candidates = [run for run in scored_runs if run.whole] or scored_runs
        max_images = max((run.images or 0 for run in candidates), default=0)
        candidates = [run for run in candidates if (run.images or 0) == max_images]
        if len(candidates) > 1:
            anchors.add(max(candidates, key=lambda run: (run.miou or 0, run.id)).anchor)
    return anchors


def list_badges(run: RunView) -> list[Badge]:
    """List the badges of a run that limit its comparability."""
    record = run.record
    left_out = len(run.left_out)
    resumed = record.get("resumed_images")
    scoring = record.get("scoring") or "correct"
    approximations, changes = (", ".join(map(str, record.get(key) or [])) for key in ("approximations", "changes"))
    partial_text = f"Only the first {run.images} images of the data set were evaluated (--limit)."
    left_out_text = f"{left_out} image(s) could not be read and were left out (--skip-bad)."
    badges = (
        (record.get("partial"), "partial", partial_text),
        (approximations, "approximate", f"Computed in a shorter way: {approximations}."),
        (left_out, f"{left_out} left out", left_out_text),
        (resumed, "resumed", f"{resumed} images were taken over from an interrupted run."),
        (
            (record.get("git") or {}).get("dirty"),
            "dirty",
            "The checkout had changes that no commit holds when this ran.",
        ),
        (changes, "changed", f"Settings other than the config's: {changes}."),
        (scoring != "correct", f"{scoring} scoring", "Scored by another rule than the other runs (--scoring)."),
    )
    return [Badge(text, why) for shown, text, why in badges if shown]
