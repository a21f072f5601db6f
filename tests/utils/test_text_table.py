"""Tables that are made as narrow as the terminal, a line a row."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from proxyclip.utils.text_table import TextTable, can_encode, measure_columns, shorten_identities, shorten_names


def file_of(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")


def printed(table: TextTable) -> list[str]:
    table.file = io.StringIO()
    table.print()
    return table.file.getvalue().splitlines()


@given(st.lists(st.text(st.characters(exclude_categories=["Cc", "Cs", "Mn", "Me"]), max_size=40), max_size=9))
def test_shortened_names_fit_and_stay_different(names):
    short = shorten_names(names, 12)
    assert set(short) == set(names) and len(set(short.values())) == len(set(names))
    assert all(cell_len(text) <= 12 for text in short.values())
    assert all(short[name] == name for name in names if cell_len(name) <= 10)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["cfg_coco_stuff164k_r101", "cfg_coco_stuff164k_r50"], ["cfg_c…_r101", "cfg_c…k_r50"]),
        (["configs/a/very_long", "configs/b/very_long"], ["configs/a…g", "configs/b…g"]),
        (["天空天空天空天空", "sky"], ["天空…天空", "sky"]),
        (["naïve" * 5 + "e\u0301"], None),
    ],
)
def test_names_are_cut_in_their_middle(names, expected):
    short = list(shorten_names(names, 11).values())
    assert all(cell_len(name) <= 11 for name in short) and len(set(short)) == len(names)
    assert expected is None or short == expected


def test_names_that_differ_in_their_middle_get_numbers():
    short = shorten_names([f"{'a' * 30}{i}{'b' * 30}" for i in range(12)], 12)
    assert len(set(short.values())) == 12 and all(len(name) <= 12 for name in short.values())


def test_shortened_identities_tell_all_apart():
    assert shorten_identities(["0123456789ab", "0123456799ab", "-"]) == ["012345678", "012345679", "-"]
    assert shorten_identities(["fedcba987654", "0123456789ab"]) == ["fedcba", "012345"] and shorten_identities([]) == []


def test_table_shrinks_to_the_columns_with_a_line_a_row():
    rows = [[f"configs/some/long_name_{i}", "same", "5.00", "天空" * 20] for i in range(3)]
    table = TextTable(["config", "kind", "mIoU", "note"], rows, right=["mIoU"])
    wide = printed(table)
    assert len(wide) == 5 and "same" in wide[2]
    table.drop_constant_columns("config", "kind")
    table.shrink(40, "config", "note")
    lines = printed(table)
    assert table.columns <= 40 and all(cell_len(line) <= 40 for line in lines) and len(lines) == 6
    assert lines[-1] == "in all rows: kind same" and len(set(lines)) == 6
    table.leave_out("note")
    assert "note" not in printed(table)[0]


def test_a_single_row_keeps_its_columns():
    table = TextTable(["a", "b"], [["x", "y"]])
    table.drop_constant_columns("a", "b")
    assert printed(table)[-1].split() == ["x", "y"]


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1"])
def test_tables_need_no_sign_that_the_encoding_lacks(encoding):
    file = file_of(encoding)
    table = TextTable(["name", "number"], [["long" * 9, "1"], ["other" * 9, "2"]], file=file)
    table.shrink(20, "name")
    table.print()
    file.flush()
    assert ("…" in file.buffer.getvalue().decode(encoding)) == (encoding == "cp1252")
    assert can_encode("…", file) == (encoding == "cp1252") and not can_encode("█━", file)


def test_columns_of_a_pipe_are_those_of_the_variable_or_80(monkeypatch):
    for value, columns in (("132", 132), ("", 80), ("0", 80), ("wide", 80)):
        monkeypatch.setenv("COLUMNS", value)
        assert measure_columns(io.StringIO()) == columns
    monkeypatch.delenv("COLUMNS")
    assert measure_columns(io.StringIO(), default=120) == 120
