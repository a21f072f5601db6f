"""Vocabulary files."""

import json
import logging

import pytest
from helpers.reference import arrays

from proxyclip.data.class_lists.notes import log_note
from proxyclip.data.vocabulary import list_class_names, parse_vocabulary, read_vocabulary
from proxyclip.utils.paths import ROOT


@pytest.fixture(autouse=True)
def _log_notes_anew():
    log_note.cache_clear()  # each is logged once in a process


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
    with pytest.raises(ValueError, match=r"line 2 .*';'"):
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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize(
    "names", [["lake", "road", "hut"], ["船", "一", "天空"], ["caf\u00e9", "Stra\u00dfe", "7"]], ids=ascii
)
def test_read_vocabulary_of_any_unicode_form(tmp_path, encoding, names):
    path = tmp_path / "cls.txt"
    path.write_bytes("\r\n".join([*names, ""]).encode(encoding))
    if encoding == "utf-32":
        assert path.read_bytes()[:4] == b"\xff\xfe\0\0"
    assert read_vocabulary(path).names == tuple(names)


def test_read_vocabulary_refuses_zero_bytes(tmp_path):
    (tmp_path / "cls.txt").write_bytes("lake\0\0\0\0".encode("utf-16-le"))
    with pytest.raises(ValueError, match=r"zero bytes"):
        read_vocabulary(tmp_path / "cls.txt")


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("lake；pond\nroad", (("lake", "pond"), ("road",))),
        ("salt &amp; pepper; spice\nbread", (("salt & pepper", "spice"), ("bread",))),
        ('"lake"\n"road; way"', (("lake",), ("road; way",))),
        ('5" pipe; 3" pipe\nlake', (('5" pipe', '3" pipe'), ("lake",))),
        ("1. lake; pond\n2. road", (("lake", "pond"), ("road",))),
        ("0\tlake\n1\troad", (("lake",), ("road",))),
    ],
    ids=lambda value: ascii(value)[:24],
)
def test_parse_vocabulary_of_other_forms(text, classes):
    assert parse_vocabulary(text).classes == classes


NOTES = [
    ("Mill\nlake\nmill", "one text for CLIP, which reads lower case: only the first can win: 'Mill' and 'mill'"),
    ("caf\u00e9\ncafe\u0301", "one text for CLIP: only the first can win: 'caf\\xe9' and 'cafe\\u0301'"),
    ("lake\nhut; lake", "stand twice, only the first can win: ['lake']"),
    ("lake, pond\nroad, way\nhut", "2 names have commas, as 'lake, pond': is ';' meant"),
    ("lake；pond，pool\nroad", "1 name has a comma, as 'pond,pool'"),
    ("lake|pond\nroad", "1 name has a bar"), ("lake\u200b\nroad", "in 'lake\\u200b'"),
    ("lake; pond; pool", "1 class with 3 names"), ("lake, pond, pool", "1 name has a comma"),
    ("__ignore__\nlake\nroad", "'__ignore__' is left out"), ("_background_\nlake", "'_background_' marks pixels"),
    ("unlabelled\nlake", "'unlabelled' marks pixels"), ("1. lake\n2. road", "reduce_zero_label=True"),
    ("1 euro coin\n2 euro coin", "a part of them, as '1 euro coin'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "note"), NOTES, ids=lambda value: ascii(value)[:24])
def test_what_may_surprise_is_logged_once(tmp_path, caplog, text, note):
    path = tmp_path / "site.txt"
    path.write_text(text, encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        assert read_vocabulary(path) == read_vocabulary(path)
    assert len(caplog.messages) == 1 and note in caplog.text and str(path) in caplog.text


def test_the_lists_of_the_repository_have_no_notes_but_of_names_that_stand_twice(caplog):
    with caplog.at_level(logging.WARNING):
        for path in sorted((ROOT / "configs").rglob("cls_*.txt")):
            lines = path.read_text(encoding="utf-8").splitlines()
            expected = tuple(tuple(name.strip() for name in line.split(";")) for line in lines if line.strip())
            assert read_vocabulary(path).classes == expected, path
    assert len(caplog.messages) == 2 and all(
        "stand twice, only the first can win: ['bed']" in m for m in caplog.messages
    )


def test_list_class_names(caplog):
    with caplog.at_level(logging.WARNING):
        assert list_class_names(["__ignore__", "Lake", "lake"], "the list") == ["Lake", "lake"]
    assert "'__ignore__' is left out" in caplog.text and "'Lake' and 'lake'" in caplog.text
    with pytest.raises(ValueError, match="entry 2 of the list"):
        list_class_names(["lake", "__ignore__"], "the list")
