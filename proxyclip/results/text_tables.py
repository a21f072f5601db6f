"""Text tables of the results: a full CSV, and a Markdown table for reading."""

import io
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from rich.box import MARKDOWN
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from proxyclip.results import columns
from proxyclip.results.columns import METRIC_COLUMNS, ZERO_SHOT_METRICS, Record, record_value
from proxyclip.results.published import PublishedResult, find_published_result
from proxyclip.results.spreadsheet import format_spreadsheet_csv
from proxyclip.utils.formats import format_difference, format_two_decimals

_LEGEND = "Numbers are mIoU, aAcc and mAcc in percent. ~: of a source with another protocol, or one that is not stated."
_ZERO_SHOT_LEGEND = (
    "mIoU_seen, mIoU_unseen: over the classes with and without labels in training; hIoU: their harmonic mean."
)


def format_csv_table(runs: Sequence[Record]) -> bytes:
    """Format all columns of the summary in full precision, for spreadsheet programs."""
    return format_spreadsheet_csv([list(columns.RECORD_COLUMNS), *map(columns.build_record_row, runs)])


def format_markdown_table(runs: Sequence[Record]) -> bytes:
    """Format the main columns with two decimals, in UTF-8, aligned for plain text.

    The metrics of a zero-shot split have columns where some run has such a split.
    """
    zero_shot = any(record_value(run, f"metrics.{name}") is not None for run in runs for name in ZERO_SHOT_METRICS)
    names = [name for name in columns.RECORD_COLUMNS if name in _TEXTS and (zero_shot or name not in ZERO_SHOT_METRICS)]
    table = Table(box=MARKDOWN, header_style="")
    for name in names:
        justify: JustifyMethod = "right" if name in _RIGHT_ALIGNED else "left"
        table.add_column("config" if name == "Dataset" else name, justify=justify, min_width=3, no_wrap=True)
    for run in runs:
        table.add_row(*(Text(escape_markdown_cell(_TEXTS[name](run))) for name in names))
    output = io.StringIO()
    Console(file=output, width=_MAX_WIDTH, color_system=None, legacy_windows=False, force_jupyter=False).print(table)
    header, rule, *rows = (line for line in output.getvalue().split("\n") if line.startswith("|"))
    dashes = zip(names, rule.strip("|").split("|"), strict=True)  # rich's rule does not say the alignment
    rule = "|".join(f"{part[:-1]}:" if name in _RIGHT_ALIGNED else part for name, part in dashes)
    legend = f"{_LEGEND} {_ZERO_SHOT_LEGEND}" if zero_shot else _LEGEND
    return "\n".join([header, f"|{rule}|", *rows, "", legend, ""]).encode("utf-8", "replace")


def _format_metric(run: Record, name: str) -> str:
    return format_two_decimals(record_value(run, f"metrics.{name}"))


def _format_published(run: Record) -> str:
    target = find_published_result(run)
    return "-" if target is None else format_two_decimals(target.value) + _protocol_mark(target)


def _format_difference(run: Record) -> str:
    difference = columns.compute_published_difference(run)
    return format_difference(difference) + ("" if difference is None else _protocol_mark(find_published_result(run)))


def _protocol_mark(target: PublishedResult | None) -> str:
    return "" if target is None or target.exact else " ~"


def _text_or_dash(value: Any) -> str:
    value = columns.to_cell_value(value)
    return "-" if value is None else str(value)


def escape_markdown_cell(text: str) -> str:
    """Escape a text for a cell of a Markdown table: no markup, HTML, link, line break or control character."""
    line = "".join(character for character in " ".join(text.split()) if character.isprintable())
    escaped = re.sub(r"[\\|`*\[\]]", r"\\\g<0>", line)
    escaped = re.sub(r"[&<>]", lambda match: _ENTITIES[match[0]], escaped)
    return re.sub(r"(?i)(?<=www)\.|:(?=//)", r"\\\g<0>", escaped)  # GitHub makes links of bare addresses


_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_MAX_WIDTH = 1_000_000  # of a line, so that rich folds none
# column of RECORD_COLUMNS, which has the order -> its text in results.md
_TEXTS: dict[str, Callable[[Record], str]] = {
    "CLIP": columns.format_clip,
    "VFM": columns.format_vfm,
    "Dataset": lambda run: _text_or_dash(run.get("config_name") or record_value(run, "dataset.type")),
    **{name: partial(_format_metric, name=name) for name in ("aAcc", "mIoU", "mAcc", *ZERO_SHOT_METRICS)},
    "method": columns.format_method,
    "published": _format_published,
    "difference": _format_difference,
    "precision": lambda run: _text_or_dash(run.get("precision")),
    "images": lambda run: _text_or_dash(columns.format_image_count(run)),
    "date": lambda run: str(run.get("end") or "-")[:16].replace("T", " "),
    "identity": lambda run: _text_or_dash(run.get("identity")),
}
_RIGHT_ALIGNED = {*METRIC_COLUMNS, "published", "difference", "images"}
