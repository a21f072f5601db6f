"""Validate a data set before evaluation: every file, or a few of them.

An error makes the number wrong or stops the run half-way; a note is only worth reading.
"""

from __future__ import annotations

import dataclasses
import shlex
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxyclip.data.files.errors import FileIssue, summarize_issues
from proxyclip.data.files.inspection import Inspection, inspect_sample, inspect_samples, sum_label_counts
from proxyclip.data.files.label_counts import LabelContext, LabelCounts, find_label_issues, name_label_values
from proxyclip.data.files.labels import ILLEGAL_LABEL, LabelFormat
from proxyclip.data.files.layout import SampleFiles, count_unlisted_images
from proxyclip.data.label_lookup import look_up_labels
from proxyclip.utils.paths import ROOT

if TYPE_CHECKING:
    from mmengine.config import Config

    from proxyclip.data.base_dataset import BenchmarkDataset

CHECK_SCHEMA = 1
PREFLIGHT_SAMPLES = 8  # inspected before each evaluation
OPTION_HINT = "Options of the data set are set with --cfg-options test_dataloader.dataset.NAME=VALUE."


class DataError(ValueError):
    """Data that would give a wrong number, or none."""


def run_preflight(
    cfg: Config,
    limit: int | None = None,
    data_root: str | None = None,
    skip_bad: bool = False,
    of_training: bool = False,
) -> list[FileIssue]:
    """Check the files, their number, a few of them in full, and the labels of the set.

    Data sets on other file systems, and classes that are not this project's, are not checked.

    Args:
        of_training: check the data set that is trained on, which need not have label maps.
        limit: of the evaluation; with one, or for a training, the number of files is not checked.
        data_root: value of --data-root, for the message.
        skip_bad: files that cannot be used are left out later, and are no reason to stop.

    Returns:
        Notes on the data, which are fit to be scored.

    Raises:
        DataError: something is wrong; the message lists it, and the command that lists everything.
        FileNotFoundError, ValueError: files are missing or doubled.
    """
    from proxyclip.utils.distributed import rank_zero_first

    config = unwrap_dataset_config((cfg.train_dataloader if of_training else cfg.test_dataloader).dataset)
    dataset = _build(config, indices=None)
    if dataset is None:
        return []
    problems = [] if limit is not None or of_training else list(_check_count(dataset, len(dataset)))
    pairs, file_problems = dataset.list_samples()
    positions = {k * (len(pairs) - 1) // (PREFLIGHT_SAMPLES - 1) for k in range(PREFLIGHT_SAMPLES)}
    options = dataset.image_options
    inspections = [inspect_sample(pairs[i], dataset.label_format, options) for i in sorted(positions)]
    file_problems += [problem for problem in _file_problems(inspections) if problem.level == "error"]
    with rank_zero_first():  # which fills the cache
        counts, unreadable = look_up_labels(pairs, max_megapixels=options.get("max_megapixels"))
    file_problems += [problem for problem in unreadable if problem not in file_problems]
    problems += [problem for problem in file_problems if problem.level == "note" or not skip_bad]
    if dataset.layout.labels is not None and not (skip_bad and _has_few_illegal(dataset.label_format, counts)):
        problems += find_label_issues(counts, dataset.label_context)
    errors = [problem for problem in problems if problem.level == "error"]
    if errors:
        shown = "; ".join(summarize_issues(errors))
        root = f" --data-root {shlex.quote(data_root)}" if data_root else ""
        command = f"python datasets/check.py --config {_display_path(cfg)}{root}{' --train' if of_training else ''}"
        purpose = "for a training" if of_training else "to be scored"
        raise DataError(
            f"The data of {type(dataset).__name__} are not fit {purpose}: {shown}. To see all of it: "
            f"{command}. {OPTION_HINT} To go on all the same: --no-check"
        )
    if not (skip_bad or of_training):
        dataset[0]  # the pipeline fits the files
    return problems


def unwrap_dataset_config(dataset: Any) -> Any:
    """Config of the data set inside its wrappers."""
    while "dataset" in dataset:
        dataset = dataset["dataset"]
    return dataset


def _file_problems(inspections: Iterable[Inspection]) -> Iterator[FileIssue]:
    """Yield the issues of single files; illegal labels are one issue of the set."""
    for inspection in inspections:
        yield from (problem for problem in inspection.problems if problem.kind != ILLEGAL_LABEL)


def _has_few_illegal(label_format: LabelFormat, counts: LabelCounts) -> bool:
    """Return True if illegal labels are those of single files, which --skip-bad leaves out."""
    illegal = [count.files for value, count in counts.values.items() if not label_format.is_legal(value)]
    return bool(illegal) and sum(illegal) < counts.files / 2


def check_dataset(
    cfg: Config, workers: int = 1, progress: Callable[[Iterable[Inspection], int], Iterable[Inspection]] | None = None
) -> dict[str, Any]:
    """Inspect every file of the test set of `cfg`, and return the report with the problems.

    The report has schema, config, dataset, data_root, split, images, expected, not_listed, errors, notes, problems
    (level, kind, file, text, remedy), illegal_files, reduce_zero_label, labels (value, name, pixels, images) of the
    classes, other_values of the files (the same; name "ignored" or "illegal"), ignored_pixels, seconds, workers, date.

    Args:
        workers: threads.
        progress: wraps the inspections, whose number is its second argument.

    Raises:
        TypeError: the dataset is not one of this project's classes.
    """
    config = unwrap_dataset_config(cfg.test_dataloader.dataset)
    dataset = _build(config, lazy_init=True)
    if dataset is None:
        name = config.type
        raise TypeError(f"Expected a BenchmarkDataset on this file system, but {name} is not: it cannot be checked")
    begin = time.perf_counter()
    pairs, problems = dataset.list_samples()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of odd metadata
        iterator = inspect_samples(pairs, dataset.label_format, workers, dataset.image_options)
        inspections = list(progress(iterator, len(pairs)) if progress else iterator)
    seconds = time.perf_counter() - begin
    problems += _file_problems(inspections)
    if not any(problem.kind == "missing place" for problem in problems):
        problems += _check_count(dataset, len(pairs))
    counts = sum_label_counts(pairs, inspections)
    fit = not any(problem.level == "error" for problem in problems)
    problems += [issue for issue in _check_labels(dataset, pairs, counts) if fit or issue.level == "error"]
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
        "illegal_files": [problem.file for i in inspections for problem in i.problems if problem.kind == ILLEGAL_LABEL],
        **_tabulate_values(counts, dataset.label_context),
        "seconds": round(seconds, 3),
        "workers": workers,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _check_labels(dataset: BenchmarkDataset, pairs: Sequence[SampleFiles], counts: LabelCounts) -> Iterable[FileIssue]:
    """Check the labels of the whole set, if there is one."""
    if not pairs:
        return ()
    if dataset.layout.labels is None:
        text = "the config names no folder of labels"
        return [FileIssue("no labels", str(dataset.data_root), text, "set seg_map_path")]
    return find_label_issues(counts, dataset.label_context)


def _tabulate_values(counts: LabelCounts, context: LabelContext) -> dict[str, Any]:
    """Make the entries of the report on the values of the label maps."""
    label_format = context.label_format
    rows: list[dict[str, Any]] = [
        dict(value=value, name=name, pixels=count.pixels, images=count.files)
        for value, name, count in name_label_values(counts, context)
    ]
    classes = [row for row in rows if label_format.is_class(row["value"])]
    return {
        "reduce_zero_label": label_format.reduce_zero,
        "labels": [row | {"value": row["value"] - label_format.reduce_zero} for row in classes],
        "other_values": [row for row in rows if row not in classes],
        "ignored_pixels": sum(row["pixels"] for row in rows if label_format.is_ignored(row["value"])),
    }


def _build(config: Mapping[str, Any], **changes: Any) -> BenchmarkDataset | None:
    from mmseg.registry import DATASETS

    from proxyclip.data.base_dataset import BenchmarkDataset
    from proxyclip.utils.distributed import rank_zero_first

    with rank_zero_first():  # a dataset may have to make its data first
        dataset = DATASETS.build({**config, **changes})
    return dataset if isinstance(dataset, BenchmarkDataset) and dataset.backend_args is None else None


def _check_count(dataset: BenchmarkDataset, images: int) -> Iterator[FileIssue]:
    if dataset.expected_images not in (None, images):
        text = f"has {images} images, but {dataset.split} of this data set is known to have {dataset.expected_images}"
        place = dataset.layout.names or dataset.layout.images
        yield FileIssue("wrong count", str(place), text, "unpack the download again, all of it")


def _display_path(cfg: Config) -> str:
    path = Path(cfg.filename)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)
