"""Validate a data set before evaluation: every file, or a few of them.

An error makes the number wrong or stops the run half-way; a note is only worth reading.
"""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxyclip.data.files.errors import FileIssue
from proxyclip.data.files.inspection import Inspection, inspect_sample, inspect_samples, sum_label_counts
from proxyclip.data.files.layout import SampleFiles, count_unlisted_images
from proxyclip.utils.paths import ROOT

if TYPE_CHECKING:
    from mmengine.config import Config

    from proxyclip.data.base_dataset import BenchmarkDataset

CHECK_SCHEMA = 1
PREFLIGHT_SAMPLES = 8  # inspected before each evaluation


class DataError(ValueError):
    """Data that would give a wrong number, or none."""


def run_preflight(cfg: Config, limit: int | None = None, data_root: str | None = None) -> None:
    """Check that the files exist, their number, and a few of them in full.

    Data sets on other file systems, and classes that are not this project's, are not checked.

    Args:
        limit: of the evaluation; with one the number of files is not checked.
        data_root: value of --data-root, for the message.

    Raises:
        DataError: something is wrong; the message lists it, and the command that lists everything.
        FileNotFoundError, ValueError: files are missing or doubled.
    """
    dataset = _build(cfg, indices=None)
    if dataset is None:
        return
    problems = [] if limit is not None else list(_check_count(dataset, len(dataset)))
    positions = {k * (len(dataset) - 1) // (PREFLIGHT_SAMPLES - 1) for k in range(PREFLIGHT_SAMPLES)}
    for info in (dataset.get_data_info(i) for i in sorted(positions)):
        label = info.get("seg_map_path")
        pair = SampleFiles(Path(info["img_path"]).stem, Path(info["img_path"]), None if label is None else Path(label))
        inspection = inspect_sample(pair, dataset.label_format)
        problems += [problem for problem in inspection.problems if problem.level == "error"]
    if problems:
        shown = "; ".join(str(problem) for problem in problems[:3])
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        root = f" --data-root {data_root}" if data_root else ""
        raise DataError(
            f"The data of {type(dataset).__name__} are not fit to be scored: {shown}{more}. To see all of it: python "
            f"datasets/check.py --config {_display_path(cfg)}{root}. To evaluate all the same: --no-check"
        )
    dataset[0]  # the pipeline fits the files


def check_dataset(
    cfg: Config, workers: int = 1, progress: Callable[[Iterable[Inspection], int], Iterable[Inspection]] | None = None
) -> dict[str, Any]:
    """Inspect every file of the test set of `cfg`, and return the report with the problems.

    The report has schema, config, dataset, data_root, split, images, expected, not_listed, errors, notes, problems
    (level, kind, file, text, remedy), labels (value, name, pixels, images), ignored_pixels, seconds, workers and date.

    Args:
        workers: threads.
        progress: wraps the inspections, whose number is its second argument.

    Raises:
        TypeError: the dataset is not one of this project's classes.
    """
    dataset = _build(cfg, lazy_init=True)
    if dataset is None:
        name = cfg.test_dataloader.dataset.type
        raise TypeError(f"Expected a BenchmarkDataset on this file system, but {name} is not: it cannot be checked")
    begin = time.perf_counter()
    pairs, problems = dataset.list_samples()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of odd metadata
        iterator = inspect_samples(pairs, dataset.label_format, workers)
        inspections = list(progress(iterator, len(pairs)) if progress else iterator)
    seconds = time.perf_counter() - begin
    problems += [problem for inspection in inspections for problem in inspection.problems]
    if not any(problem.kind == "missing place" for problem in problems):
        problems += _check_count(dataset, len(pairs))
    labels = sum_label_counts(inspections)
    names = list((dataset.METAINFO if dataset.label_map else dataset.metainfo)["classes"])  # those of the files
    if pairs and not any(problem.level == "error" for problem in problems):
        problems += _check_labels(dataset, labels, names)
    levels = Counter(problem.level for problem in problems)
    return {
        "schema": CHECK_SCHEMA,
        "config": _display_path(cfg),
        "dataset": type(dataset).__name__,
        "data_root": str(dataset.data_root),
        "split": dataset.split,
        "images": len(pairs),
        "expected": dataset.expected_images,
        "not_listed": count_unlisted_images(dataset.layout, pairs) if pairs and dataset.layout.names else 0,
        "errors": levels["error"],
        "notes": levels["note"],
        "problems": [dataclasses.asdict(problem) for problem in problems],
        "labels": [
            dict(value=i, name=name, pixels=labels[i][0], images=labels[i][1])
            for i, name in enumerate(names)
            if i in labels and i != dataset.ignore_index
        ],
        "ignored_pixels": labels.get(dataset.ignore_index, (0, 0))[0],
        "seconds": round(seconds, 3),
        "workers": workers,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _build(cfg: Config, **changes: Any) -> BenchmarkDataset | None:
    from mmseg.registry import DATASETS

    from proxyclip.data.base_dataset import BenchmarkDataset
    from proxyclip.utils.distributed import rank_zero_first

    with rank_zero_first():  # a dataset may have to make its data first
        dataset = DATASETS.build({**cfg.test_dataloader.dataset, **changes})
    return dataset if isinstance(dataset, BenchmarkDataset) and dataset.backend_args is None else None


def _check_count(dataset: BenchmarkDataset, images: int) -> Iterator[FileIssue]:
    if dataset.expected_images not in (None, images):
        text = f"has {images} images, but {dataset.split} of this data set is known to have {dataset.expected_images}"
        place = dataset.layout.names or dataset.layout.images
        yield FileIssue("wrong count", str(place), text, "unpack the download again, all of it")


def _check_labels(
    dataset: BenchmarkDataset, labels: dict[int, tuple[int, int]], names: list[str]
) -> Iterator[FileIssue]:
    """Check the labels of the whole set."""
    place = str(dataset.layout.labels)
    present = labels.keys() - {dataset.ignore_index}
    if dataset.layout.labels is None:
        yield FileIssue("no labels", str(dataset.data_root), "the config names no folder of labels", "set seg_map_path")
    elif not present:
        yield FileIssue("nothing labelled", place, "every pixel of every image is ignored", "is ignore_index right?")
    elif len(names) == 2 and len(present) == 1 and len(labels) == 2:
        text = f"one of two classes has no pixel, and {dataset.ignore_index}, which is ignored, seems to mean it"
        yield FileIssue("foreground ignored", place, text, "write 1 for it")
    absent = len(names) - len(present)
    if present and absent:
        text = f"{absent} of {len(names)} classes have no pixel: mIoU depends on the rule, see mIoU_gt"
        yield FileIssue("absent classes", place, text, level="note")


def _display_path(cfg: Config) -> str:
    path = Path(cfg.filename)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)
