"""Tables of the demo: areas for spreadsheet programs, and a table that any output can show."""

import csv
import io
import sys
from types import SimpleNamespace

import pytest

from proxyclip.cli.demo_outputs import build_area_table, write_areas_csv
from proxyclip.engine.evaluation.console import make_console


def segmentation(**areas: float) -> SimpleNamespace:
    """What a table shows of a segmentation."""
    names = list(areas)
    return SimpleNamespace(areas=areas, colors=[(10, 20, 30)] * len(names), index=names.index)


def test_areas_have_no_formula_and_are_utf8_for_excel(tmp_path):
    names = ("=1+1", "@sum", "天空", "-")
    rows = [("+a.png", dict.fromkeys(names, 25.0)), ("=b.png", {"天空": 100.0})]
    data = write_areas_csv(rows, names, tmp_path / "areas.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    assert list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))) == [
        ["file", "'=1+1", "'@sum", "天空", "-"],
        ["'+a.png", "25.000", "25.000", "25.000", "25.000"],
        ["'=b.png", "0.000", "0.000", "100.000", "0.000"],
    ]


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_area_table_has_a_line_a_class_in_any_encoding(encoding, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)  # strict: a sign it lacks would be an error
    monkeypatch.setattr(sys, "stdout", file)
    long = "a field of grass with many yellow flowers"
    make_console().print(build_area_table(segmentation(**{"sky": 60.0, f"{long} A": 30.0, f"{long} B": 10.0})))
    file.flush()
    lines = file.buffer.getvalue().decode(encoding).splitlines()
    rows = [line for line in lines if line.rstrip(" |").endswith("0")]
    assert len(rows) == 3 and len({*rows}) == 3 and all(len(line) <= 40 for line in lines)
    assert any("█" in line for line in lines) == (encoding == "utf-8")
