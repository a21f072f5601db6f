"""Reads sheets of results.xlsx by the names of their columns."""

from pathlib import Path
from typing import Any

from openpyxl import load_workbook


def sheet_rows(path: Path, sheet: str = "Summary") -> list[dict[str, Any]]:
    """Read the rows of a sheet as dicts; in a sheet of classes, whose header has lines above, those come first."""
    rows = list(load_workbook(path)[sheet].iter_rows(values_only=True))
    header = next((row for row in rows if row[0] == "class"), rows[0])
    return [dict(zip(header, row, strict=True)) for row in rows if row is not header]


def sheet_names(path: Path) -> list[str]:
    """List the titles of the sheets."""
    return load_workbook(path).sheetnames
