"""Class lists as text, and text that may be a file."""

import pytest

from proxyclip.data.class_lists.text import is_class_file, parse_background_text, parse_class_text

TEXTS = [
    ("lake；road；hut", [["lake"], ["road"], ["hut"]]), ("lake，pond；road", [["lake", "pond"], ["road"]]),
    ("lake、road、hut", [["lake"], ["road"], ["hut"]]), ("lake؛ road، way", [["lake"], ["road", "way"]]),
    ("lake\troad", [["lake"], ["road"]]), ("lake | road", [["lake"], ["road"]]), ("lake, pond", [["lake"], ["pond"]]),
    ("lake, pond;", [["lake", "pond"]]), ("1. lake; 2. road", [["lake"], ["road"]]),
    ("0: lake, 1: road", [["lake"], ["road"]]),
    ("- lake\n- road, way", [["lake"], ["road", "way"]]), ("['lake', 'road']", [["lake"], ["road"]]),
    ('"building, edifice"; sky', [["building, edifice"], ["sky"]]), ('"a; b", c', [["a; b"], ["c"]]),
    ("salt &amp; pepper; bread", [["salt & pepper"], ["bread"]]), ("R&D; H&M", [["R&D"], ["H&M"]]),
    ("__ignore__\n_background_\nlake", [["_background_"], ["lake"]]), ("tv/monitor; sky", [["tv/monitor"], ["sky"]]),
    ("lake｜road", [["lake"], ["road"]]), ("lake\\nroad", [["lake"], ["road"]]), ("'lake; road'", [["lake"], ["road"]]),
    ("lord's table; 'tis", [["lord's table"], ["'tis"]]),
    ("room 1, hall 2", [["room 1"], ["hall 2"]]), ("lake:1", [["lake:1"]]),
    ('5" pipe; 3" pipe', [['5" pipe'], ['3" pipe']]), ("", []), (" ;,\n", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "classes"), TEXTS, ids=lambda value: ascii(value)[:24])
def test_parse_class_text(text, classes):
    assert parse_class_text(text).classes == classes


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("lake, pond", "2 classes, for there is no ';': lake | pond ('lake, pond;'"),
        ("a, b, c, d, e", "5 classes, for there is no ';': a | b | c | ..."),
        ("lake; pond\nroad", "line ends are both between classes"),
        ("lake / road / hut", "1 class, 'lake / road / hut': between classes put ';' and not '/'"),
        ("lake・road", "not '・'"),
        ("lake|pond; road", "'|' is a part of names"),
        ("1. lake; 2. road", "here 'lake' is label 0"),
    ],
)
def test_text_that_may_be_meant_otherwise_is_noted(text, note):
    assert note in " ".join(parse_class_text(text).notes)


@pytest.mark.parametrize(
    "text",
    ["lake; pond; road", "lake\nroad, way", "brick wall", "lake, pond;", "lake;\nroad;\n", "t-shirt", "tv/monitor"],
)
def test_plain_text_has_no_notes(text):
    assert parse_class_text(text).notes == ()


def test_is_class_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gravel").write_text("notes on gravel\n")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "site").write_text("lake\n")
    for text in ("a.txt", "x/b.TXT", "labels.csv", "data.yaml", "./gravel", "lists/site", str(tmp_path / "gravel")):
        assert is_class_file(text), text
    for text in ("gravel", "lists", "lists/", "tv/monitor", "lake; a.txt", "lake\na.txt", "a\0b/c", "~nobody9/x"):
        assert not is_class_file(text), text
    for long in ("lake of kind 1; " * 40, "x" * 300, "a/" * 3000, "é" * 200 + "/b"):
        assert not is_class_file(long)


@pytest.mark.parametrize("text", ["0.4", "0,4", " .4 ", "4e-1", "０.4", "0.40."])
def test_background_that_is_a_number(text):
    assert parse_background_text(text) == 0.4


def test_background_of_names_and_what_is_neither():
    assert parse_background_text("wall, floor; 3d printer") == ["wall", "floor", "3d printer"]
    assert parse_background_text("壁、床") == ["壁", "床"]
    for text, message in (
        ("40%", "not percent, write 0.4"),
        ("wall, 0.4", "0.4 as threshold"),
        ("0, 4", "names or one number"),
    ):
        with pytest.raises(ValueError, match=message):
            parse_background_text(text)
