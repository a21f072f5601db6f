"""The sheets with the IoU of every class, one a data set, runs side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from openpyxl import Workbook
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from . import style
from .columns import Run, cell, class_name, left_out, methods, tower, value, vfm, whole

_HEAD = ("method", "VFM", "CLIP", "images", "mIoU")  # lines above the header proper
_FIRST = 3  # the column of the first run
_LONGEST = 31  # characters in the title of a sheet
Groups = dict[tuple[str, tuple[str, ...]], list[Run]]


def add_sheets(book: Workbook, runs: Sequence[Run]) -> None:
    """Add a sheet for every config; runs with another list of classes on one config, or another zero-shot split, get a
    sheet of their own."""
    for (name, classes), members in sorted(_groups(runs).items(), key=lambda item: item[0][0]):
        _fill(book.create_sheet(_title(name, book.sheetnames)), classes, members)


def per_class(run: Run) -> list[Mapping[str, Any]]:
    """The rows of a record about its classes, in label order; empty where it has none."""
    found = run.get("per_class")
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _groups(runs: Sequence[Run]) -> Groups:
    groups: Groups = {}
    for run in runs:
        name = str(run.get("config_name") or value(run, "dataset.type") or "runs")
        classes = tuple(map(class_name, per_class(run)))
        if classes:
            groups.setdefault((name, classes), []).append(run)
    return groups


def _title(name: str, taken: Sequence[str]) -> str:
    """A title that spreadsheet programs accept and that is not there yet: `sclip/cfg_voc21` -> `sclip voc21`; of a long
    name, the last folders that there is room for."""
    *folders, last = name.split("/")
    words = last.removeprefix("cfg_")
    while folders and len(f"{folders[-1]} {words}") <= _LONGEST:
        words = f"{folders.pop()} {words}"
    words = re.sub(r"[\[\]:*?/\\\s]+", " ", style.clean(words)).strip(" '") or "runs"
    known = {title.lower() for title in taken} | {"history"}  # reserved by Excel
    title, number = words[:_LONGEST].rstrip(" '"), 1
    while title.lower() in known:
        number += 1
        title = f"{words[: _LONGEST - len(str(number)) - 3]} ({number})"
    return title


def _fill(sheet: Worksheet, classes: Sequence[str], runs: Sequence[Run]) -> None:
    top = len(_HEAD) + 1
    columns = [_head(run) for run in runs]
    for number, title in enumerate(_HEAD):
        style.header(sheet, number + 1, [title, None, *(column[number] for column in columns)], last=False)
    style.header(sheet, top, ["class", "pixels", *(cell(run.get("identity")) for run in runs)])
    counted = next((run for run in reversed(runs) if whole(run)), runs[-1])
    for row, (name, one) in enumerate(zip(classes, per_class(counted), strict=True), start=top + 1):
        style.put(sheet, row, 1, name)
        style.put(sheet, row, 2, cell(one.get("pixels"))).number_format = "#,##0"
    for column, run in enumerate(runs, start=_FIRST):
        for row, one in enumerate(per_class(run), start=top + 1):
            style.put(sheet, row, column, cell(one.get("iou")))
        if not whole(run):
            for row in range(1, top + 1 + len(classes)):
                style.mark(sheet.cell(row, column))
    _dress(sheet, classes, len(runs), top)


def _head(run: Run) -> list[Any]:
    marks = ["partial"] if run.get("partial") else []
    marks += [f"{left_out(run)} left out"] if left_out(run) else []
    images: Any = cell(value(run, "dataset.images"))
    if marks:
        images = f"{images} ({', '.join(marks)})"
    return [methods(run), vfm(run), tower(run), images, cell(value(run, "metrics.mIoU"))]


def _dress(sheet: Worksheet, classes: Sequence[str], runs: int, top: int) -> None:
    last, end = get_column_letter(_FIRST + runs - 1), top + len(classes)
    first = get_column_letter(_FIRST)
    sheet.freeze_panes = f"{first}{top + 1}"
    sheet.auto_filter.ref = f"A{top}:{last}{end}"
    for row in range(top + 1, end + 1):
        sheet.cell(row, 1).font = Font(bold=True)
    style.shade_percent(sheet, f"{first}{top - 1}:{last}{top - 1} {first}{top + 1}:{last}{end}")
    style.width(sheet, 1, min(40, max(9, *(len(name) + 2 for name in classes))))
    style.width(sheet, 2, 16)
    for column in range(_FIRST, _FIRST + runs):
        style.width(sheet, column, 18)
    for row in range(1, top):
        style.heighten(sheet, row)
    sheet.print_title_rows = f"1:{top}"
    style.printed(sheet)
