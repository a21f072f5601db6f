"""Is the data set fit to be scored? The whole of it (`python datasets/check.py`), or a quick part before each run.

An error is what would make the number wrong or stop the run half-way; a note is worth knowing. The report is JSON:
schema, config, dataset, data_root, split, images, expected, not_listed, errors, notes, problems (level, kind, file,
text, remedy), labels (value, name, pixels, images), ignored_pixels, seconds, workers, date.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .disk.inspect import Inspection, inspect, inspect_all, summed
from .disk.listing import Pair, not_listed
from .disk.problems import Problem

if TYPE_CHECKING:
    from mmengine.config import Config

    from .configs import Options
    from .data.benchmark import BenchmarkDataset

SCHEMA = 1
QUICK = 8  # samples that are looked into before each evaluation
SHOWN = 20  # problems of a kind on the terminal; the report has all
BAD_CONFIG, UNFIT, FIT = 2, 1, 0


class DataError(ValueError):
    """The data would give a wrong number, or none."""


def preflight(cfg: Config, options: Options) -> None:
    """The quick part: the files exist, their number is the known one, and a few of them are what they should be.

    With a limit any number will do. Sets on other file systems, and classes that are not this project's, pass unseen.

    Raises:
        DataError: something is wrong; the message says what, and how to see all of it.
        FileNotFoundError, ValueError: files are missing or doubled.
    """
    dataset = _build(cfg, indices=None)
    if dataset is None:
        return
    problems = [] if options.limit is not None else list(_count(dataset, len(dataset)))
    infos = (dataset.get_data_info(i) for i in sorted({k * (len(dataset) - 1) // (QUICK - 1) for k in range(QUICK)}))
    for info in infos:
        label = info.get("seg_map_path")
        pair = Pair(Path(info["img_path"]).stem, Path(info["img_path"]), None if label is None else Path(label))
        problems += [problem for problem in inspect(pair, dataset.legal).problems if problem.level == "error"]
    if problems:
        shown = "; ".join(str(problem) for problem in problems[:3])
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        where = f" --data-root {options.data_root}" if options.data_root else ""
        raise DataError(
            f"The data of {type(dataset).__name__} are not fit to be scored: {shown}{more}. To see all of it: python "
            f"datasets/check.py --config {_shown(cfg)}{where}. To evaluate all the same: --no-check"
        )
    dataset[0]  # the pipeline fits the files


def full(
    cfg: Config, workers: int = 1, progress: Callable[[Iterable[Inspection], int], Iterable[Inspection]] | None = None
) -> dict[str, Any]:
    """Look into every file of the test set of `cfg`, and return the report. Finds problems, raises none.

    Args:
        progress: wraps the inspections, whose number is its second argument.

    Raises:
        TypeError: the dataset is not one of this project's classes.
    """
    dataset = _build(cfg, lazy_init=True)
    if dataset is None:
        raise TypeError(
            f"Expected a data set that derives from BenchmarkDataset on this file system, but "
            f"{cfg.test_dataloader.dataset.type} is not: it cannot be checked"
        )
    begin = time.perf_counter()
    pairs, problems = dataset.examine()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of odd metadata
        found = inspect_all(pairs, dataset.legal, workers)
        inspections = list(progress(found, len(pairs)) if progress else found)
    seconds = time.perf_counter() - begin
    problems += [problem for one in inspections for problem in one.problems]
    if not any(problem.kind == "missing place" for problem in problems):
        problems += _count(dataset, len(pairs))
    labels = summed(inspections)
    names = list((dataset.METAINFO if dataset.label_map else dataset.metainfo)["classes"])  # those of the files
    if pairs and not any(problem.level == "error" for problem in problems):
        problems += _scored(dataset, labels, names)
    levels = Counter(problem.level for problem in problems)
    return {
        "schema": SCHEMA,
        "config": _shown(cfg),
        "dataset": type(dataset).__name__,
        "data_root": str(dataset.data_root),
        "split": dataset.split,
        "images": len(pairs),
        "expected": dataset.expected,
        "not_listed": not_listed(dataset.layout, pairs) if pairs and dataset.layout.names else 0,
        "errors": levels["error"],
        "notes": levels["note"],
        "problems": [problem.as_dict() for problem in problems],
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


def main(argv: list[str] | None = None) -> int:
    """The command line; returns 0 for a fit data set, 1 for errors, 2 for a config that does not exist."""
    parser = argparse.ArgumentParser(prog="python datasets/check.py", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--config", required=True, help="config file, such as configs/cfg_voc21.py")
    add("--data-root", metavar="DIR", help="folder with the data sets (default: the variable DATA_ROOT, or ./data)")
    add("--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override the config")
    add("--train", action="store_true", help="look at the training data of a config for train.py instead")
    add("--report", metavar="FILE", help="where the JSON goes (default: work_dirs/check/CONFIG.json)")
    add("--workers", type=int, default=min(_cores(), 16), help="threads (default: %(default)s)")
    args = parser.parse_args(argv)
    from . import configs, reporting

    reporting.quiet()
    options = configs.Options(args.config, data_root=args.data_root, cfg_options=tuple(args.cfg_options))
    try:
        cfg = _data_of(configs.merged(options), args)
        configs.register()
        configs.use_scope(cfg)
        report = full(cfg, args.workers, _bar)
    except Exception as error:
        print(f"error: {reporting.message(error)}", file=sys.stderr)
        return BAD_CONFIG if isinstance(error, configs.ConfigNotFound) else UNFIT
    suffix = "-train" if args.train else ""
    file = Path(args.report or f"work_dirs/check/{configs.config_name(cfg)}{suffix}.json")
    _say(report)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.{os.getpid()}.part")
        part.write_text(json.dumps(report, indent=1), encoding="utf-8")
        part.replace(file)
        print(f"report: {file}")
    except OSError as error:
        print(f"error: the report {file} cannot be written ({error}): choose another --report", file=sys.stderr)
        return UNFIT
    return UNFIT if report["errors"] else FIT


def _data_of(cfg: Config, args: argparse.Namespace) -> Config:
    """The config with the data set in question as its test set; no model is asked for."""
    from . import configs

    if args.train and cfg.get("train_dataloader") is None:
        raise ValueError(f"{args.config} has no training data: leave out --train")
    if args.train:
        cfg.test_dataloader = cfg.train_dataloader
    cfg.setdefault("default_scope", "mmseg")
    configs.place_data(cfg.test_dataloader.dataset, args.data_root)
    return cfg


def _build(cfg: Config, **changes: Any) -> BenchmarkDataset | None:
    from mmseg.registry import DATASETS

    from .data.benchmark import BenchmarkDataset
    from .processes import first_process_first

    with first_process_first():  # a dataset may have to make its data first
        dataset = DATASETS.build({**cfg.test_dataloader.dataset, **changes})
    return dataset if isinstance(dataset, BenchmarkDataset) and dataset.backend_args is None else None


def _count(dataset: BenchmarkDataset, images: int) -> Iterator[Problem]:
    if dataset.expected not in (None, images):
        said = f"has {images} images, but {dataset.split} of this data set is known to have {dataset.expected}"
        place = dataset.layout.names or dataset.layout.images
        yield Problem("wrong count", str(place), said, "unpack the download again, all of it")


def _scored(dataset: BenchmarkDataset, labels: dict[int, tuple[int, int]], names: list[str]) -> Iterator[Problem]:
    """What only the labels of the whole set can tell."""
    place = str(dataset.layout.labels)
    present = labels.keys() - {dataset.ignore_index}
    if dataset.layout.labels is None:
        yield Problem("no labels", str(dataset.data_root), "the config names no folder of labels", "set seg_map_path")
    elif not present:
        yield Problem("nothing labelled", place, "every pixel of every image is ignored", "is ignore_index right?")
    elif len(names) == 2 and len(present) == 1 and len(labels) == 2:
        said = f"one of two classes has no pixel, and {dataset.ignore_index}, which is ignored, seems to mean it"
        yield Problem("foreground ignored", place, said, "write 1 for it")
    absent = len(names) - len(present)
    if present and absent:
        said = f"{absent} of {len(names)} classes have no pixel: mIoU depends on the rule, see mIoU_gt"
        yield Problem("absent classes", place, said, level="note")


def _say(report: dict[str, Any]) -> None:
    known = "an unknown number" if report["expected"] is None else report["expected"]
    print(f"{report['config']}: {report['dataset']}, split {report['split']}, in {report['data_root']}")
    rate = report["images"] / report["seconds"] if report["seconds"] else 0
    print(f"{report['images']} images of {known}, {rate:.1f} images/s, {len(report['labels'])} classes with pixels")
    kinds = Counter((problem["level"], problem["kind"]) for problem in report["problems"])
    for (level, kind), count in sorted(kinds.items()):
        print(f"{level}: {kind} ({count})")
        same = [p for p in report["problems"] if (p["level"], p["kind"]) == (level, kind)]
        most = SHOWN if level == "error" else 3
        for problem in same[:most]:
            print(f"    {Problem(**problem)}")
        if count > most:
            print(f"    ... all {count} are in the report")
    print(f"{report['errors']} errors: {'not fit' if report['errors'] else 'fit'} to be scored")


def _bar(inspections: Iterable[Inspection], total: int) -> Iterable[Inspection]:
    from tqdm import tqdm

    return tqdm(inspections, total=total, unit="image", disable=None)


def _shown(cfg: Config) -> str:
    from .paths import ROOT

    path = Path(cfg.filename)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main())
