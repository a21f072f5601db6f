"""Output of an evaluation on a terminal or in a file."""

import io
import sys

import pytest

from proxyclip.engine.evaluation.console import make_console, print_summary

LONG = "person riding a horse across a wide meadow of many flowers and herbs in the late"


def make_run(names: list[str], **changes) -> dict:
    rows = [{"name": name, "iou": 10.0 * i, "acc": 50.0} for i, name in enumerate(names)]
    return {"per_class": rows, "metrics": {"mIoU": 40.0}, "partial": False, "dataset": {"images": 2}, **changes}


@pytest.mark.parametrize("columns", ["80", "50", ""])
def test_class_table_has_a_line_a_class(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    names = ["sky", f"{LONG} morning", f"{LONG} evening", "天空" * 40, "[bold]wall[/]"]
    print_summary(make_run(names), {"record": "work_dirs/records/a.json"})
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.endswith("50.00")]
    assert len(rows) == 5 and len({row.split("  ")[0] for row in rows}) == 5
    assert all(len(row) <= int(columns or 80) for row in rows) and any("[bold]wall[/]" in row for row in rows)
    assert lines[-1] == "record: work_dirs/records/a.json" and "mIoU 40.00" in lines


def test_class_table_of_many_classes_says_where_the_others_are(capsys):
    print_summary(make_run([f"class {i}" for i in range(300)]), {})
    output = capsys.readouterr().out
    assert "class 199 " in output and "class 200 " not in output and "... and 100 more: see results.xlsx" in output


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437"])
def test_summary_needs_no_sign_that_the_encoding_lacks(encoding, monkeypatch):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)  # strict: a sign it lacks would be an error
    monkeypatch.setattr(sys, "stdout", file)
    print_summary(make_run(["sky", "x" * 200]), {})
    file.flush()
    assert "sky" in file.buffer.getvalue().decode(encoding)


def test_console_follows_the_variable_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert make_console(io.StringIO()).width == 80
    monkeypatch.delenv("COLUMNS")
    assert make_console(io.StringIO()).width == 120
