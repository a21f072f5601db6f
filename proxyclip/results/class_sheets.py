"""Sheets with the IoU of every class, one a data set, runs side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from openpyxl import Workbook
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from proxyclip.results.columns import (
    Record,
    format_class_name,
    format_clip,
    format_image_count,
    format_method,
    format_vfm,
    is_whole_dataset,
    record_value,
    to_cell_value,
)
from proxyclip.results.xlsx_style import (
    fit_row_height,
    set_column_width,
    set_print_layout,
    shade_percent,
    strip_illegal_xml,
    style_partial,
    write_cell,
    write_header_row,
)

_HEAD = ("method", "VFM", "CLIP", "images", "mIoU")  # lines above the header proper
_TOP = len(_HEAD) + 1  # the row of the header proper
_FIRST_RUN_COLUMN = 3
_MAX_TITLE_CHARS = 31
ClassGroups = dict[tuple[str, tuple[str, ...]], list[Record]]


def add_class_sheets(book: Workbook, runs: Sequence[Record]) -> None:
    """Add a sheet for every config.

    Runs of one config with another list of classes, or another zero-shot split, have a sheet of their own.
    """
    for (name, classes), members in sorted(_group_runs(runs).items(), key=lambda item: item[0][0]):
        _fill_class_sheet(book.create_sheet(_sheet_title(name, book.sheetnames)), classes, members)


def get_class_rows(run: Record) -> list[Mapping[str, Any]]:
    """Return the rows of a record about its classes, in label order.

    Empty where it has none.
    """
    rows = run.get("per_class")
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _group_runs(runs: Sequence[Record]) -> ClassGroups:
    groups: ClassGroups = {}
    for run in runs:
        name = str(run.get("config_name") or record_value(run, "dataset.type") or "runs")
        classes = tuple(map(format_class_name, get_class_rows(run)))
        if classes:
            groups.setdefault((name, classes), []).append(run)
    return groups


def _sheet_title(name: str, taken: Sequence[str]) -> str:
    """Make a new, valid sheet title: `sclip/cfg_voc21` -> `sclip voc21`.

    A long name keeps the last folders that fit.
    """
    *folders, last = name.split("/")
    title = last.removeprefix("cfg_")
    while folders and len(f"{folders[-1]} {title}") <= _MAX_TITLE_CHARS:
        title = f"{folders.pop()} {title}"
    base = re.sub(r"[\[\]:*?/\\\s]+", " ", strip_illegal_xml(title)).strip(" '") or "runs"
    reserved = {other.lower() for other in taken} | {"history"}  # the last one by Excel
    title = base[:_MAX_TITLE_CHARS].rstrip(" '")
    number = 1
    while title.lower() in reserved:
        number += 1
        title = f"{base[: _MAX_TITLE_CHARS - len(str(number)) - 3]} ({number})"
    return title


def _fill_class_sheet(sheet: Worksheet, classes: Sequence[str], runs: Sequence[Record]) -> None:
    heads = [_describe_run(run) for run in runs]
    for row, (title, values) in enumerate(zip(_HEAD, zip(*heads, strict=True), strict=True), start=1):
        write_header_row(sheet, row, [title, None, *values], last=False)
    write_header_row(sheet, _TOP, ["class", "pixels", *(to_cell_value(run.get("identity")) for run in runs)])
    counted = next((run for run in reversed(runs) if is_whole_dataset(run)), runs[-1])
    for row, (name, entry) in enumerate(zip(classes, get_class_rows(counted), strict=True), start=_TOP + 1):
        write_cell(sheet, row, 1, name).font = Font(bold=True)
        write_cell(sheet, row, 2, to_cell_value(entry.get("pixels"))).number_format = "#,##0"
    for column, run in enumerate(runs, start=_FIRST_RUN_COLUMN):
        for row, entry in enumerate(get_class_rows(run), start=_TOP + 1):
            write_cell(sheet, row, column, to_cell_value(entry.get("iou")))
        if not is_whole_dataset(run):
            for row in range(1, _TOP + 1 + len(classes)):
                style_partial(sheet.cell(row, column))
    _format_class_sheet(sheet, classes, len(runs))


def _describe_run(run: Record) -> list[Any]:
    """List the values of `_HEAD` of a run."""
    miou = to_cell_value(record_value(run, "metrics.mIoU"))
    return [format_method(run), format_vfm(run), format_clip(run), format_image_count(run), miou]


def _format_class_sheet(sheet: Worksheet, classes: Sequence[str], runs: int) -> None:
    first = get_column_letter(_FIRST_RUN_COLUMN)
    last = get_column_letter(_FIRST_RUN_COLUMN + runs - 1)
    bottom = _TOP + len(classes)
    sheet.freeze_panes = f"{first}{_TOP + 1}"
    sheet.auto_filter.ref = f"A{_TOP}:{last}{bottom}"
    shade_percent(sheet, f"{first}{_TOP - 1}:{last}{_TOP - 1} {first}{_TOP + 1}:{last}{bottom}")
    set_column_width(sheet, 1, min(40, max(9, *(len(name) + 2 for name in classes))))
    set_column_width(sheet, 2, 16)
    for column in range(_FIRST_RUN_COLUMN, _FIRST_RUN_COLUMN + runs):
        set_column_width(sheet, column, 18)
    for row in range(1, _TOP):
        fit_row_height(sheet, row)
    sheet.print_title_rows = f"1:{_TOP}"
    set_print_layout(sheet)
