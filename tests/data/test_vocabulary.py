"""Vocabulary files."""

import json
import logging

import pytest
from helpers.reference import arrays

from proxyclip.data.vocabulary import parse_vocabulary, read_vocabulary


def test_parse_vocabulary_equals_published_parser_on_regular_files():
    """Where the published parser gives well-formed names, ours gives the same; blanks and empties are dropped."""
    cases = json.loads(str(arrays("text")["parse_cases_json"]))
    same = {"no_trailing_newline", "trailing_newline", "comma", "crlf"}
    for name, case in cases.items():
        got = parse_vocabulary(case["text"])
        assert "" not in got.names
        assert all(n == n.strip() for n in got.names)
        if name in same:
            assert (list(got.names), list(got.index)) == (case["names"], case["idx"]), name
    assert parse_vocabulary(cases["blank_line_inside"]["text"]).classes == (("a",), ("b",))
    assert parse_vocabulary(cases["trailing_semicolon"]["text"]).classes == (("a",), ("b",))
    assert parse_vocabulary(cases["semicolon_without_space"]["text"]).classes == (("a", "b"), ("c",))
    assert parse_vocabulary(cases["trailing_space"]["text"]).classes == (("wood",), ("road",))


@pytest.mark.parametrize("text", ["a;b\r\nc ;d\r\n", "\ufeffa; b\n\nc;d  \n\n", "a ;b;\n c; d"])
def test_read_vocabulary_drops_blanks_and_bom(text, tmp_path):
    path = tmp_path / "cls.txt"
    path.write_bytes(text.encode())
    assert read_vocabulary(path).classes == (("a", "b"), ("c", "d"))


def test_vocabulary_errors_name_the_line(tmp_path, caplog):
    with pytest.raises(ValueError, match=r"line 2 .*' ; '"):
        parse_vocabulary("a\n ; \nb")
    path = tmp_path / "cls.txt"
    path.write_bytes(b"\n\n")
    with pytest.raises(ValueError, match=r"cls\.txt.* empty"):
        read_vocabulary(path)
    path.write_bytes(b"caf\xe9\n")
    with pytest.raises(ValueError, match=r"UTF-8.*cls\.txt.*byte 3"):
        read_vocabulary(path)
    with caplog.at_level(logging.WARNING):
        parse_vocabulary("wall; bed\nbed")
    assert "'bed'" in caplog.text
