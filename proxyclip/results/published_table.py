"""Table of published mIoU for docs/methods.md, made from published.json.

python -c "from proxyclip.results.published_table import format_published_table; print(format_published_table())"
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from proxyclip.results.published import load_published_rows

Row = Mapping[str, Any]
# data sets in the order of the papers' columns -> titles
DATASET_COLUMNS = {
    "voc21": "VOC21", "context60": "C60", "coco_object": "Object", "voc20": "VOC20", "city_scapes": "City",
    "context59": "C59", "ade20k": "ADE", "coco_stuff164k": "Stuff", "coco_stuff10k": "Stuff10k",
}  # fmt: skip
EXACT_MARK = "="
INEXACT_MARK = "~"
CONTRADICTION_MARK = "≠"
_ROUNDING = 0.05  # of sources with one decimal
_SUBJECT = ("method", "model", "weights", "vfm", "changes")  # keys of what a row is about


def rank_dataset(name: str) -> tuple[int, str]:
    """Return a sort key: the papers' columns first, then other names."""
    order = list(DATASET_COLUMNS)
    return (order.index(name) if name in order else len(order)), name


def format_published_table() -> str:
    """Format the rows of training-free methods as a Markdown table with its sources."""
    rows = [row for row in load_published_rows() if _is_benchmark_row(row)]
    for key in ("weights", "model", "method"):  # sources of the same numbers side by side
        order = list(dict.fromkeys(row[key] for row in rows))
        rows.sort(key=lambda row: order.index(row[key]))
    sources = list(dict.fromkeys(_describe_source(row) for row in rows))
    titles = ["method", "CLIP", "VFM", *DATASET_COLUMNS.values(), "config", "source"]
    lines = [titles, ["---"] * len(titles)]
    for row in rows:
        numbers = [_format_number(row, dataset, rows) for dataset in DATASET_COLUMNS]
        source = str(sources.index(_describe_source(row)) + 1)
        lines.append([*_format_components(row), *numbers, _format_config(row), source])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    notes = "\n".join(_format_note(f"{number}. ", source) for number, source in enumerate(sources, start=1))
    return f"{table}\n\n{notes}\n"


def _is_benchmark_row(row: Row) -> bool:
    """Return True if a row is no trained model's and not about the tiny world."""
    return row["mIoU"].keys() <= DATASET_COLUMNS.keys() and not row["configs"][0].startswith("trained/")


def _format_components(row: Row) -> list[str]:
    changes = [f", `{change.removeprefix('model.')}`" for change in row["changes"]]
    return [f"`{row['method']}`{''.join(changes)}", f"{row['model']} {row['weights']}", row["vfm"] or "-"]


def _format_number(row: Row, dataset: str, rows: Sequence[Row]) -> str:
    """Format the number of a data set, with a mark where another source has another one."""
    value = row["mIoU"].get(dataset)
    if value is None:
        return "-"
    others = [other["mIoU"].get(dataset, value) for other in rows if all(other[key] == row[key] for key in _SUBJECT)]
    contradicted = any(abs(other - value) > _ROUNDING + 1e-9 for other in others)
    return f"{value} {CONTRADICTION_MARK}" if contradicted else str(value)


def _format_config(row: Row) -> str:
    return f"{EXACT_MARK if row['exact'] else INEXACT_MARK} `{row['configs'][0].format(dataset='*')}`"


def _describe_source(row: Row) -> str:
    return row["source"] if row["evidence"] == "table" else f"{row['source']} ({row['evidence']})"


def _format_note(number: str, source: str) -> str:
    indent = " " * len(number)
    return textwrap.fill(source, 120, initial_indent=number, subsequent_indent=indent, break_on_hyphens=False)
