"""Sheets with the IoU of every class, one a data set, runs side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from openpyxl import Workbook
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from proxyclip.results import columns
from proxyclip.results import xlsx_style as style
from proxyclip.results.columns import Record, is_whole_dataset, record_value, to_cell_value
from proxyclip.results.spreadsheet import MAX_TITLE_UNITS, count_utf16_units, make_sheet_title

# lines above the header proper: title -> value of a run
_HEAD = {
    "method": columns.format_method,
    "VFM": columns.format_vfm,
    "CLIP": columns.format_clip,
    "images": columns.format_image_count,
    "mIoU": lambda run: to_cell_value(record_value(run, "metrics.mIoU")),
}
_TOP = len(_HEAD) + 1  # the row of the header proper
_FIRST_RUN_COLUMN = 3


def add_class_sheets(book: Workbook, runs: Sequence[Record]) -> None:
    """Add a sheet for every config, list of classes and zero-shot split."""
    groups: dict[tuple[str, tuple[str, ...]], list[Record]] = {}
    for run in runs:
        name = str(run.get("config_name") or record_value(run, "dataset.type") or "runs")
        classes = tuple(map(columns.format_class_name, get_class_rows(run)))
        if classes:
            groups.setdefault((name, classes), []).append(run)
    for (name, classes), members in sorted(groups.items(), key=lambda item: item[0][0]):
        title = make_sheet_title(_shorten_config_name(name), book.sheetnames)
        _fill_class_sheet(book.create_sheet(title), classes, members)


def get_class_rows(run: Record) -> list[Mapping[str, Any]]:
    """Rows of a record about its classes, in label order; empty without any."""
    rows = run.get("per_class")
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _shorten_config_name(name: str) -> str:
    """Shorten a config name for a sheet title, `sclip/cfg_voc21` -> `sclip voc21`."""
    *folders, last = name.split("/")
    title = last.removeprefix("cfg_")
    while folders and count_utf16_units(f"{folders[-1]} {title}") <= MAX_TITLE_UNITS:
        title = f"{folders.pop()} {title}"
    return title


def _fill_class_sheet(sheet: Worksheet, classes: Sequence[str], runs: Sequence[Record]) -> None:
    for row, (title, value) in enumerate(_HEAD.items(), start=1):
        style.write_header_row(sheet, row, [title, None, *map(value, runs)], last=False)
    style.write_header_row(sheet, _TOP, ["class", "pixels", *(to_cell_value(run.get("identity")) for run in runs)])
    counted = next((run for run in reversed(runs) if is_whole_dataset(run)), runs[-1])
    for row, (name, entry) in enumerate(zip(classes, get_class_rows(counted), strict=True), start=_TOP + 1):
        style.write_cell(sheet, row, 1, name).font = style.make_font(bold=True)
        style.write_cell(sheet, row, 2, to_cell_value(entry.get("pixels"))).number_format = "#,##0"
    for column, run in enumerate(runs, start=_FIRST_RUN_COLUMN):
        for row, entry in enumerate(get_class_rows(run), start=_TOP + 1):
            style.write_cell(sheet, row, column, to_cell_value(entry.get("iou")))
        if not is_whole_dataset(run):
            for row in range(1, _TOP + 1 + len(classes)):
                style.style_partial(sheet.cell(row, column))
    first = get_column_letter(_FIRST_RUN_COLUMN)
    last = get_column_letter(_FIRST_RUN_COLUMN + len(runs) - 1)
    bottom = _TOP + len(classes)
    sheet.freeze_panes = f"{first}{_TOP + 1}"
    sheet.auto_filter.ref = f"A{_TOP}:{last}{bottom}"
    style.shade_percent(sheet, f"{first}{_TOP - 1}:{last}{_TOP - 1} {first}{_TOP + 1}:{last}{bottom}")
    style.set_column_width(sheet, 1, min(40, max(9, *(style.measure_cell(name) + 2 for name in classes))))
    style.set_column_width(sheet, 2, 16)
    for column in range(_FIRST_RUN_COLUMN, _FIRST_RUN_COLUMN + len(runs)):
        style.set_column_width(sheet, column, 18)
    for row in range(1, _TOP):
        style.fit_row_height(sheet, row)
    style.set_print_layout(sheet, header_rows=_TOP)
