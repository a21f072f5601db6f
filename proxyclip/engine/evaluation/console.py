"""Console output of an evaluation: header lines, table of classes, metrics."""

import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from mmengine.config import Config
from mmengine.logging import MMLogger
from rich.console import Console

from proxyclip.engine.config.components import MethodInfo
from proxyclip.engine.config.load import config_name
from proxyclip.results.columns import ZERO_SHOT_METRICS, format_class_name
from proxyclip.results.published import find_published_result
from proxyclip.utils.formats import format_two_decimals
from proxyclip.utils.text_table import TextTable, measure_columns

_MAX_ROWS = 200  # classes the console shows


def silence_libraries() -> None:
    """Show only warnings of what mmengine logs before a Runner has its log."""
    logging.basicConfig(format="%(message)s")  # before open_clip's first warning sets up "WARNING:root:" for all
    logging.raiseExceptions = False  # on a full disk each line of the log would bring a traceback
    logging.getLogger().addFilter(_is_not_download_warning)
    if not MMLogger.check_instance_created("mmengine"):
        MMLogger.get_instance("mmengine", log_level="WARNING")


def _is_not_download_warning(record: logging.LogRecord) -> bool:
    """Filter out open_clip's line about missing weights, whose error says more."""
    return not record.getMessage().startswith("Failed to download weights")


def make_console(file: TextIO | None = None, width: int = 120) -> Console:
    """Build a console for `file`, default stdout.

    `width` is for no terminal, where COLUMNS does not say otherwise. Rich draws lines and bars in ASCII where the
    encoding of the file is not a Unicode one.
    """
    file = file or sys.stdout
    return Console(file=file, width=None if file.isatty() else measure_columns(file, width), highlight=False)


def print_header(cfg: Config, method: MethodInfo, precision: str, images: int, device: str, processes: int) -> None:
    """Print two lines on the model, the data set and the device of an evaluation."""
    model = cfg.model
    vfm = model.get("vfm_model")
    vfm = vfm.get("type") if isinstance(vfm, Mapping) else vfm
    components = [model.get("model_type"), model.get("clip_type"), method.name, vfm]
    component_list = ", ".join(str(component) for component in components if component)
    print(f"{config_name(cfg)}: {model.type} ({component_list}) on {cfg.test_dataloader.dataset.type}", flush=True)
    process_count = "1 process" if processes == 1 else f"{processes} processes"
    print(f"{images} images, {precision} on {device}, {process_count}", flush=True)


def print_notes(notes: Iterable[object]) -> None:
    """Print what is worth knowing about the data, a line each, on stderr."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr, flush=True)


def print_summary(run: Mapping[str, Any], files: Mapping[str, Path | str]) -> None:
    """Print the table of classes, the metrics, and the paths of the files of a run."""
    if run.get("per_class"):
        _print_class_table(run["per_class"])
    metrics = run["metrics"]
    names = [name for name in ("mIoU", "aAcc", "mAcc") if name in metrics]
    print("  ".join(f"{name} {format_two_decimals(metrics[name])}" for name in names) + _format_restrictions(run))
    for line in (*explain_metrics(run), *format_published_difference(run)):
        print(line)
    for name, path in files.items():
        print(f"{name}: {path}")


def _print_class_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print IoU and accuracy of the classes, a line each; long names are cut."""
    lines = [
        [format_class_name(row), *(format_two_decimals(row.get(key)) for key in ("iou", "acc"))]
        for row in rows[:_MAX_ROWS]
    ]
    table = TextTable(("class", "IoU", "acc"), lines, right=("IoU", "acc"))
    table.shrink(measure_columns(), "class")
    print()
    table.print()
    if len(rows) > _MAX_ROWS:
        print(f"... and {len(rows) - _MAX_ROWS} more: see results.xlsx")
    print()


def _format_restrictions(run: Mapping[str, Any]) -> str:
    """Format what sets the metrics apart from those of a whole, exact evaluation."""
    text = f"  (first {run['dataset']['images']} images only)" if run["partial"] else ""
    if run.get("left_out"):
        text += f"  (without {len(run['left_out'])} image{'s' * (len(run['left_out']) > 1)} that cannot be read)"
    return text + "".join(f"  (approximate: {name})" for name in run.get("approximations", []))


def explain_metrics(run: Mapping[str, Any]) -> list[str]:
    """Explain which classes the means cover, and --scoring published, in lines."""
    metrics = run["metrics"]
    class_counts = run.get("classes_in") or {}
    lines = []
    if "mIoU_gt" in metrics and "mIoU" in class_counts:
        lines.append(
            f"mIoU is over the {class_counts['mIoU']} classes labelled or predicted (MMSegmentation's rule); over the "
            f"{class_counts['mIoU_gt']} labelled ones (detectron2's) it is mIoU_gt "
            f"{format_two_decimals(metrics['mIoU_gt'])}; weighted by pixels, fwIoU "
            f"{format_two_decimals(metrics['fwIoU'])}"
        )
    if "hIoU" in metrics:
        sizes = {name: f" ({n} class{'es' * (n != 1)})" for name, n in class_counts.items()}
        names = [name for name in ZERO_SHOT_METRICS if name in metrics]
        means = [f"{name} {format_two_decimals(metrics[name])}{sizes.get(name, '')}" for name in names]
        lines.append(f"{', '.join(means)}, the harmonic mean of both")
    if run.get("scoring") == "published":
        lines.append("--scoring published: where labels have 16 bits, unlabelled pixels count and class 255 does not")
    return lines


def format_published_difference(run: Mapping[str, Any]) -> list[str]:
    """Format the published mIoU and the difference to it; empty if none is published."""
    target = find_published_result(run)
    if target is None or "mIoU" not in run["metrics"]:
        return []
    difference = run["metrics"]["mIoU"] - target.value
    note = "" if target.exact else "; its protocol differs"
    return [f"published mIoU {target.value:.2f}, difference {difference:+.2f} ({target.source}{note})"]
