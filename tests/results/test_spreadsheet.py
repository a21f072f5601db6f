"""CSV for spreadsheet programs: no formula, a mark of UTF-8, a file that another program holds open."""

import csv
import io

import pytest

from proxyclip.results.spreadsheet import format_spreadsheet_csv, quote_formula, write_spreadsheet_csv


@pytest.mark.parametrize("text", ["=1+1", "+49 30", "-x", "@sum", "\tA1", "\rA1", "\n=1", "＝１", "＠sum"])
def test_texts_that_are_formulas_are_quoted_and_read_back(text):
    data = format_spreadsheet_csv([["file", text], [text, "1.000"]])
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert rows == [["file", f"'{text}"], [f"'{text}", "1.000"]]


@pytest.mark.parametrize("value", [-0.5, -3, True, None, "-", "sky", "a=b", "1+1", ""])
def test_numbers_and_other_texts_stay_as_they_are(value):
    assert quote_formula(value) is value


def test_file_has_the_mark_of_utf8_and_lines_of_rfc_4180(tmp_path):
    path = write_spreadsheet_csv(tmp_path / "areas.csv", [["file", "天空"], ['a "b".png', "12.5"]])
    assert path.read_bytes() == b'\xef\xbb\xbffile,\xe5\xa4\xa9\xe7\xa9\xba\r\n"a ""b"".png",12.5\r\n'


def test_file_that_cannot_be_replaced_costs_no_table(tmp_path, capsys):
    (tmp_path / "areas.csv" / "open").mkdir(parents=True)
    path = write_spreadsheet_csv(tmp_path / "areas.csv", [["file"]])
    assert path.name.startswith("areas-") and path.read_bytes() == b"\xef\xbb\xbffile\r\n"
    assert "areas.csv cannot be replaced" in capsys.readouterr().err and len(list(tmp_path.iterdir())) == 2
