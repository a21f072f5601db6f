"""Is the data set fit to be scored? The whole of it (`python datasets/check.py`), or a quick part before each run.

An error is what would make the number wrong or stop the run half-way; a note is worth knowing. The report is JSON:
schema, config, dataset, data_root, split, images, expected, not_listed, errors, notes, problems (level, kind, file,
text, remedy), illegal_files, reduce_zero_label, labels and other_values (value, name, pixels, images),
ignored_pixels, seconds, workers, date.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxyclip.cli import EXIT_FAILED, run_cli
from proxyclip.engine.config.names import check_names
from proxyclip.engine.config.options import EvalOptions, declare_cfg_options, declare_data_root
from proxyclip.utils.arguments import declare_option, parse_options
from proxyclip.utils.system import count_cores

if TYPE_CHECKING:
    from mmengine.config import Config

    from proxyclip.data.files.inspection import Inspection

MAX_PRINTED_ISSUES = {"error": 5}  # of a kind, others 3; the report has all


@dataclass(frozen=True)
class CheckOptions:
    """Options of the data check: the command line of datasets/check.py."""

    config: str = declare_option(help="config file, such as configs/cfg_voc21.py")
    data_root: str | None = declare_data_root()
    cfg_options: tuple[str, ...] = declare_cfg_options()
    train: bool = declare_option(False, help="look at the training data of a config for train.py instead")
    report: str | None = declare_option(
        None, metavar="FILE", help="where the JSON goes (default: work_dirs/check/CONFIG.json)"
    )
    workers: int = declare_option(min(count_cores(), 16), help="threads (default: %(default)s)")


def main(argv: Sequence[str] | None = None, prog: str = "python datasets/check.py") -> int:
    """Check a data set, and return the exit code: 0 if it is fit, 1 for errors, 2 for a config that does not exist."""
    options = parse_options(CheckOptions, argv, prog=prog, description=__doc__)
    return run_cli(lambda: _run_check(options), check=lambda: check_names(options))


def _run_check(options: CheckOptions) -> int:
    from proxyclip.data.check import check_dataset
    from proxyclip.engine.config.load import config_name
    from proxyclip.engine.config.registration import activate_scope, register_modules
    from proxyclip.engine.evaluation.console import silence_libraries
    from proxyclip.utils.io import replace_file

    silence_libraries()
    cfg = _select_data(options)
    register_modules()
    activate_scope(cfg)
    report = check_dataset(cfg, options.workers, _progress_bar)
    suffix = "-train" if options.train else ""
    file = Path(options.report or f"work_dirs/check/{config_name(cfg)}{suffix}.json")
    _print_report(report)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, lambda temporary: temporary.write_text(json.dumps(report, indent=1), encoding="utf-8"))
    except OSError as error:
        print(f"error: the report {file} cannot be written ({error}): choose another --report", file=sys.stderr)
        return EXIT_FAILED
    print(f"report: {file}")
    return EXIT_FAILED if report["errors"] else 0


def _select_data(options: CheckOptions) -> Config:
    """Return the config with the chosen data set as its test set; no model is built."""
    from proxyclip.engine.config.load import merge_config, set_data_root

    cfg = merge_config(EvalOptions(options.config, data_root=options.data_root, cfg_options=options.cfg_options))
    if options.train and cfg.get("train_dataloader") is None:
        raise ValueError(f"{options.config} has no training data: leave out --train")
    if options.train:
        cfg.test_dataloader = cfg.train_dataloader
    cfg.setdefault("default_scope", "mmseg")
    set_data_root(cfg.test_dataloader.dataset, options.data_root)
    return cfg


def _print_report(report: dict[str, Any]) -> None:
    from proxyclip.data.check import OPTION_HINT
    from proxyclip.data.files.errors import FileIssue

    expected = "an unknown number" if report["expected"] is None else report["expected"]
    print(f"{report['config']}: {report['dataset']}, split {report['split']}, in {report['data_root']}")
    rate = report["images"] / report["seconds"] if report["seconds"] else 0
    print(f"{report['images']} images of {expected}, {rate:.1f} images/s, {len(report['labels'])} classes with pixels")
    _print_label_table(report)
    issues = [FileIssue(**problem) for problem in report["problems"]]
    for (level, issue_type), count in sorted(Counter((issue.level, issue.kind) for issue in issues).items()):
        print(f"{level}: {issue_type} ({count})")
        max_count = MAX_PRINTED_ISSUES.get(level, 3)
        for issue in [issue for issue in issues if (issue.level, issue.kind) == (level, issue_type)][:max_count]:
            print(f"    {issue}")
        if count > max_count:
            print(f"    ... all {count} are in the report")
    if any(issue.level == "error" and "=" in issue.remedy for issue in issues):
        print(OPTION_HINT)
    print(f"{report['errors']} errors: {'not fit' if report['errors'] else 'fit'} to be scored")


def _print_label_table(report: dict[str, Any]) -> None:
    """Print value, class, pixels, share and images of every value of the label maps."""
    from proxyclip.utils.text_table import TextTable, measure_columns

    shift = int(report["reduce_zero_label"])
    values = [row | {"value": row["value"] + shift} for row in report["labels"]] + report["other_values"]
    total = sum(row["pixels"] for row in values)
    rows = [
        (str(row["value"]), row["name"], str(row["pixels"]), f"{100 * row['pixels'] / total:.2f} %", str(row["images"]))
        for row in sorted(values, key=lambda row: row["value"])
    ]
    if rows:
        table = TextTable(("value", "class", "pixels", "share", "images"), rows, ("value", "pixels", "share", "images"))
        table.shrink(measure_columns(), "class")
        table.print()


def _progress_bar(inspections: Iterable[Inspection], total: int) -> Iterable[Inspection]:
    from tqdm import tqdm

    return tqdm(inspections, total=total, unit="image", disable=None)
