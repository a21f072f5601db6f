"""How sheets of the workbook look: cells, header, widths, colours that colour-blind people tell apart."""

from __future__ import annotations

import math
from typing import Any

from openpyxl.cell import Cell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.formatting.rule import CellIsRule, ColorScaleRule
from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

_BLUE, _WHITE, _ORANGE, _GREY = "6BAED6", "FFFFFF", "FDAE6B", "EDEDED"
_HEADER = PatternFill("solid", start_color="DCE6F1")
_LINE = Border(bottom=Side(style="thin", color="4F81BD"))
_MARKED = PatternFill("solid", start_color=_GREY)
_FORMULA = ("=", "+", "-", "@")
_WIDEST, _HASH = 48, 14


def put(sheet: Worksheet, row: int, column: int, found: Any) -> Cell:
    """Write a cell: numbers as numbers, floats with two decimals, texts as texts whatever they begin with."""
    cell = sheet.cell(row, column)
    cell.value = clean(found) if isinstance(found, str) else found
    if isinstance(found, str):
        cell.data_type = "s"  # not a formula, not an error value
        cell.quotePrefix = found.startswith(_FORMULA)
        cell.alignment = Alignment(horizontal="left", indent=1)  # away from the number before it
    elif isinstance(found, float):
        cell.number_format = "0.00"
    return cell


def clean(text: str) -> str:
    """A text without what XML cannot hold: control characters, and bytes of file names that are no UTF-8."""
    return ILLEGAL_CHARACTERS_RE.sub("", text.encode("utf-8", "replace").decode())


def header(sheet: Worksheet, row: int, titles: list[Any], last: bool = True) -> None:
    """Write a row of the header; the last one has a line below it."""
    for column, title in enumerate(titles, start=1):
        cell = put(sheet, row, column, title)
        cell.font, cell.fill = Font(bold=True), _HEADER
        side, indent = ("right", 0) if isinstance(title, (int, float)) else ("left", 1)
        cell.alignment = Alignment(side, "center", wrap_text=True, indent=indent)
        if last:
            cell.border = _LINE


def rows(sheet: Worksheet, titles: list[str], lines: list[list[Any]], frozen: str) -> None:
    """Fill a sheet: header, rows, filter, frozen panes, widths."""
    header(sheet, 1, titles)
    for number, line in enumerate(lines, start=2):
        for column, found in enumerate(line, start=1):
            put(sheet, number, column, found)
    sheet.freeze_panes = frozen
    if lines:
        sheet.auto_filter.ref = sheet.dimensions
    first = sheet[frozen].column
    for column, title in enumerate(titles, start=1):
        shown = [_width(line[column - 1]) for line in lines]
        limit = _HASH if title.endswith("sha256") or title == "commit" else 30 if column < first else _WIDEST
        width(sheet, column, min(limit, max([len(title) + 3, *(one + 2 for one in shown)])))
    heighten(sheet, 1)
    printed(sheet)


def width(sheet: Worksheet, column: int, characters: int) -> None:
    """Set the width of a column."""
    sheet.column_dimensions[get_column_letter(column)].width = characters


def printed(sheet: Worksheet) -> None:
    """On paper: landscape, as wide as the page."""
    sheet.page_setup.orientation, sheet.page_setup.fitToHeight = "landscape", 0
    sheet.sheet_properties.pageSetUpPr.fitToPage = True


def heighten(sheet: Worksheet, row: int) -> None:
    """Give a row of the header the height that its texts need in the width of their columns."""
    lines = 1
    for cell in sheet[row]:
        characters = sheet.column_dimensions[cell.column_letter].width
        lines = max(lines, math.ceil(1.2 * _width(cell.value) / characters))
    sheet.row_dimensions[row].height = 15 * lines


def mark(cell: Cell, star: bool = True) -> None:
    """Show that a cell belongs to a run that is not over all images: grey, italic, numbers with a star."""
    cell.font, cell.fill = Font(italic=True, bold=cell.font.bold), _MARKED
    if star and isinstance(cell.value, float):
        cell.number_format = '0.00"*"'


def aside(cell: Cell) -> None:
    """Show that a number is of another protocol: grey, italic, with a tilde before it."""
    cell.font, cell.number_format = Font(italic=True, color="7F7F7F"), '"~"0.00;"~"-0.00'


def shade_among(sheet: Worksheet, cells: list[Cell]) -> None:
    """Colour cells from the lowest, white, to the highest, blue."""
    if cells:
        rule = ColorScaleRule(start_type="min", start_color=_WHITE, end_type="max", end_color=_BLUE)
        sheet.conditional_formatting.add(" ".join(cell.coordinate for cell in cells), rule)


def shade_percent(sheet: Worksheet, area: str) -> None:
    """Colour percentages: 0 orange, 50 white, 100 blue."""
    ends = dict(start_type="num", start_value=0, start_color=_ORANGE, end_type="num", end_value=100, end_color=_BLUE)
    rule = ColorScaleRule(**ends, mid_type="num", mid_value=50, mid_color=_WHITE)
    sheet.conditional_formatting.add(area, rule)


def shade_sign(sheet: Worksheet, area: str) -> None:
    """Colour differences: below zero orange, above zero blue."""
    for operator, color in (("lessThan", _ORANGE), ("greaterThan", _BLUE)):
        rule = CellIsRule(operator=operator, formula=["0"], fill=PatternFill("solid", bgColor=color))
        sheet.conditional_formatting.add(area, rule)


def _width(found: Any) -> int:
    return 8 if isinstance(found, float) else len(str(found)) if found is not None else 0
