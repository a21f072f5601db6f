"""Cell styles of the workbook, in colors safe for the color-blind."""

import math
import unicodedata
from itertools import accumulate
from typing import Any

from openpyxl.cell import Cell
from openpyxl.formatting.rule import CellIsRule, ColorScaleRule
from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.page import PageMargins
from openpyxl.worksheet.worksheet import Worksheet

from proxyclip.results.spreadsheet import FORMULA_STARTS, strip_illegal_xml

_FONT = "Calibri"  # of openpyxl's cells
_BLUE = "6BAED6"
_WHITE = "FFFFFF"
_ORANGE = "FDAE6B"
_PAGE_CHARACTERS = 210  # width of columns that can be read on a page of A4, printed at about 60 %


def write_cell(sheet: Worksheet, row: int, column: int, value: Any) -> Cell:
    """Write a cell: floats with two decimals, texts as texts whatever their start."""
    cell = sheet.cell(row, column)
    cell.value = strip_illegal_xml(value) if isinstance(value, str) else value
    if isinstance(value, str):
        cell.data_type = "s"  # not a formula, not an error value
        cell.quotePrefix = value.startswith(FORMULA_STARTS)
        cell.alignment = Alignment(horizontal="left", indent=1)  # away from the number before it
    elif isinstance(value, float):
        cell.number_format = "0.00"
    return cell


def make_font(**options: Any) -> Font:
    """Make a font of the kind that cells have; without its name it is another one."""
    return Font(name=_FONT, size=11, **options)


def write_header_row(sheet: Worksheet, row: int, titles: list[Any], last: bool = True) -> None:
    """Write a row of the header; the last one has a line below it."""
    for column, title in enumerate(titles, start=1):
        cell = write_cell(sheet, row, column, title)
        cell.font = make_font(bold=True)
        cell.fill = PatternFill("solid", start_color="DCE6F1")
        side, indent = ("right", 0) if isinstance(title, (int, float)) else ("left", 1)
        cell.alignment = Alignment(side, "center", wrap_text=True, indent=indent)
        if last:
            cell.border = Border(bottom=Side(style="thin", color="4F81BD"))


def fill_table_sheet(sheet: Worksheet, titles: list[str], lines: list[list[Any]], frozen_columns: int) -> None:
    """Fill a sheet: header, rows, filter, frozen header and first columns, widths."""
    write_header_row(sheet, 1, titles)
    for row, line in enumerate(lines, start=2):
        for column, value in enumerate(line, start=1):
            write_cell(sheet, row, column, value)
    sheet.freeze_panes = sheet.cell(2, frozen_columns + 1)
    if lines:
        sheet.auto_filter.ref = sheet.dimensions
    for column, title in enumerate(titles, start=1):
        widths = [measure_cell(line[column - 1]) + 2 for line in lines]
        is_hash = title.endswith(("sha256", "commit"))
        limit = 14 if is_hash else 30 if column <= frozen_columns else 48
        set_column_width(sheet, column, min(limit, max([len(title) + 3, *widths])))
    fit_row_height(sheet, 1)
    set_print_layout(sheet, drop_columns=True)


def set_column_width(sheet: Worksheet, column: int, characters: int) -> None:
    """Set the width of a column."""
    sheet.column_dimensions[get_column_letter(column)].width = characters


def set_print_layout(sheet: Worksheet, header_rows: int = 1, drop_columns: bool = False) -> None:
    """Set printing: A4 landscape, one page wide, header and number on each page.

    Args:
        drop_columns: columns on the right that would make the letters too small to read are not printed.
    """
    sheet.page_setup.orientation = "landscape"
    sheet.page_setup.paperSize = sheet.PAPERSIZE_A4
    sheet.page_setup.fitToWidth = 1
    sheet.page_setup.fitToHeight = 0  # as many pages as it takes
    sheet.sheet_properties.pageSetUpPr.fitToPage = True
    sheet.page_margins = PageMargins(left=0.4, right=0.4, top=0.5, bottom=0.7, header=0.3, footer=0.3)
    sheet.oddFooter.left.text = "&A"
    sheet.oddFooter.right.text = "&P / &N"
    sheet.print_title_rows = f"1:{header_rows}"
    widths = [sheet.column_dimensions[get_column_letter(i)].width for i in range(1, sheet.max_column + 1)]
    readable = sum(total <= _PAGE_CHARACTERS for total in accumulate(widths))
    if drop_columns and 0 < readable < len(widths):
        sheet.print_area = f"A1:{get_column_letter(readable)}{sheet.max_row}"


def fit_row_height(sheet: Worksheet, row: int) -> None:
    """Fit the height of a header row to its texts in the width of their columns."""
    lines = 1
    for cell in sheet[row]:
        characters = sheet.column_dimensions[cell.column_letter].width
        lines = max(lines, math.ceil(1.2 * measure_cell(cell.value) / characters))
    sheet.row_dimensions[row].height = 15 * lines


def style_partial(cell: Cell, star: bool = True) -> None:
    """Style a cell of a partial run: gray, italic, numbers with a star."""
    cell.font = make_font(italic=True, bold=cell.font.bold)
    cell.fill = PatternFill("solid", start_color="EDEDED")
    if star and isinstance(cell.value, float):
        cell.number_format = '0.00"*"'


def style_other_protocol(cell: Cell) -> None:
    """Style a number of another protocol: gray, italic, with a tilde before it."""
    cell.font = make_font(italic=True, color="7F7F7F")
    cell.number_format = '"~"0.00;"~"-0.00'


def shade_min_to_max(sheet: Worksheet, cells: list[Cell]) -> None:
    """Color cells from the lowest, white, to the highest, blue."""
    if cells:
        rule = ColorScaleRule(start_type="min", start_color=_WHITE, end_type="max", end_color=_BLUE)
        sheet.conditional_formatting.add(" ".join(cell.coordinate for cell in cells), rule)


def shade_percent(sheet: Worksheet, area: str) -> None:
    """Color percentages: 0 orange, 50 white, 100 blue."""
    ends = dict(start_type="num", start_value=0, start_color=_ORANGE, end_type="num", end_value=100, end_color=_BLUE)
    rule = ColorScaleRule(**ends, mid_type="num", mid_value=50, mid_color=_WHITE)
    sheet.conditional_formatting.add(area, rule)


def shade_sign(sheet: Worksheet, area: str) -> None:
    """Color differences: below zero orange, above zero blue."""
    for operator, color in (("lessThan", _ORANGE), ("greaterThan", _BLUE)):
        rule = CellIsRule(operator=operator, formula=["0"], fill=PatternFill("solid", bgColor=color))
        sheet.conditional_formatting.add(area, rule)


def measure_cell(value: Any) -> int:
    """Measure the width of a value in characters; wide ones count for two."""
    if value is None or isinstance(value, float):
        return 8 if value is not None else 0
    text = str(value)
    return len(text) + sum(unicodedata.east_asian_width(character) in "WF" for character in text)
