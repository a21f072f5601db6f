"""Class names of somebody else: long texts, many names and odd ones cost time in proportion, or are refused at once."""

import json
import os
import string
import sys

import pytest

from proxyclip.apis.classes import parse_class_query
from proxyclip.cli.demo import main
from proxyclip.data.class_lists.limits import (
    MAX_CLASS_LIST_BYTES,
    MAX_CLASS_LIST_NAMES,
    MAX_NAME_LETTERS,
    TooManyNames,
)
from proxyclip.data.class_lists.text import parse_class_text
from proxyclip.data.vocabulary import list_class_names, parse_vocabulary, read_vocabulary
from proxyclip.utils.file_limits import FileTooLarge

COUNT = 4000
NAMES = [f"name {i}x" for i in range(COUNT)]
TEXTS = {
    "semicolons": "; ".join(NAMES),
    "commas": ", ".join(NAMES),
    "lines": "\n".join(NAMES),
    "quoted": "; ".join(f'"{name}"' for name in NAMES),
    "numbered": "\n".join(f"{i}: {name}" for i, name in enumerate(NAMES)),
    "last twice": "; ".join([*NAMES, NAMES[-1]]),
    "synonyms": ", ".join(NAMES) + ";",
    "all twice": "; ".join(NAMES * 2),
    "json": json.dumps(NAMES),
    "json labels": json.dumps(dict(enumerate(NAMES))),
    "coco": json.dumps([dict(id=i, name=name) for i, name in enumerate(NAMES)]),
    "numpy": "[" + " ".join(map(repr, NAMES)) + "]",
    "yaml": "names:\n" + "\n".join(f"  {i}: {name}" for i, name in enumerate(NAMES)),
    "pbtxt": "\n".join(f"item {{\n id: {i + 1}\n name: '{name}'\n}}" for i, name in enumerate(NAMES)),
    "metainfo": f"METAINFO = dict(classes={tuple(NAMES)!r}, palette=[1])",
    "bullets": "\n".join(f"- {name}" for name in NAMES),
    "one without a bullet": "\n".join([*(f"- {name}" for name in NAMES), "plain"]),
    "table": "id,name\n" + "\n".join(f"{i},{name}" for i, name in enumerate(NAMES)),
    "case": "\n".join([*NAMES, *map(str.upper, NAMES)]),
}
SIZE = 20_000
ODD_TEXTS = {  # each took time with the square or the cube of its length
    "letters, blanks, a number": "a" * (SIZE // 2) + " " * (SIZE // 2) + "5",
    "pairs and a number": "a b" * (SIZE // 3) + " 5\nc 6",
    "blanks between letters": "a" + " " * SIZE + "a\nb",
    "blanks and a comment": "a" + " " * SIZE + "#b\nc",
    "empty lines": "a" + "\n" * SIZE + "b",
    "open quote with escapes": "['" + '\\"' * (SIZE // 2) + '"]',
    "open call": "x([" + "],a=[" * (SIZE // 5),
    "brackets": "[" * SIZE + "]" * SIZE,
    "signs": "[" + "-" * SIZE + "1]",
    "digits": "&#" + "1" * SIZE + ";b",
    "lists in yaml": "names: " + "[" * SIZE,
    "items": "item { id: 1 " * (SIZE // 13),
    "quotes": ',"' * (SIZE // 2) + "x",
    "a cell": "id,name\n0," + "a" * 200_000,
}


def _count_lines(function, *arguments) -> int:
    """Lines of Python that a call runs: the same on every machine."""
    lines = 0

    def trace(frame, event, argument):
        nonlocal lines
        if "proxyclip" not in frame.f_code.co_filename:
            return None
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(*arguments)
    except ValueError:
        pass
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize("form", [*TEXTS])
@pytest.mark.parametrize("parse", [parse_class_query, parse_vocabulary], ids=["text", "file"])
def test_any_form_of_a_long_list_is_read_in_time_proportional_to_it(parse, form):
    """All lists of this test together took minutes when names were compared with all before them."""
    text = TEXTS[form]
    try:
        parse(text)
    except ValueError as error:
        assert len(str(error)) < 600


@pytest.mark.parametrize(
    "make",
    [
        lambda count: [*NAMES[:count], NAMES[count - 1]],
        lambda count: NAMES[: count // 2] * 2,
        lambda count: [NAMES[:count]],
        lambda count: {name: [name, f"{name}s"] for name in NAMES[: count // 2]},
        lambda count: [*NAMES[: count // 2], *map(str.upper, NAMES[: count // 2])],
        lambda count: "\n".join([*(f"- {name}" for name in NAMES[:count]), "plain"]),
    ],
    ids=["last twice", "all twice", "synonyms", "dict", "case", "bullets"],
)
def test_twice_the_names_take_twice_the_steps(make):
    few, many = (_count_lines(parse_class_query, make(count)) for count in (500, 1000))
    assert many < 2.3 * few


@pytest.mark.parametrize("form", [*ODD_TEXTS])
def test_odd_texts_are_read_or_refused_in_time_proportional_to_them(form):
    for parse in (parse_class_text, parse_vocabulary):
        try:
            parse(ODD_TEXTS[form])
        except ValueError as error:
            assert len(str(error)) < 600


def test_yaml_that_multiplies_itself_is_refused():
    levels = [
        f"{name}: &{name} [{', '.join([f'*{inner}'] * 9)}]" for inner, name in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    bomb = "\n".join(["a: &a [x, y]", *levels, "names: *i"])
    for text in (bomb, "names: [&a [b, c], *a]", "a: &a {b: 1}\nnames:\n  <<: *a\n"):
        with pytest.raises(TooManyNames, match=r"an alias \(\*name\): write one class a line"):
            parse_vocabulary(text)


def test_names_have_a_length_and_a_number_that_are_refused():
    long_name = "y" * (MAX_NAME_LETTERS + 1)
    readers = (
        parse_class_query,
        parse_vocabulary,
        lambda text: parse_class_query([text, "sky"]),
        lambda text: parse_class_query({"sky": [text]}),
        lambda text: parse_class_query("sky", text),
    )
    for read in readers:
        with pytest.raises(TooManyNames, match=r"at most 2000 letters in .* has 2001") as error:
            read(long_name)
        assert len(str(error.value)) < 300
        read(long_name[1:])
    many = [f"n{i}" for i in range(MAX_CLASS_LIST_NAMES + 1)]
    for classes in (many, {"all": many}, dict.fromkeys(many, "x"), [many]):
        with pytest.raises(TooManyNames, match="at most 100000 names, but got 100001"):
            parse_class_query(classes)
    for read in (lambda names: list_class_names(names, "a list"), lambda names: parse_vocabulary("\n".join(names))):
        with pytest.raises(TooManyNames, match="at most 100000 names, but got 100001"):
            read(many)


def test_many_names_in_pythons_or_yamls_form_are_counted_before_they_are_objects(monkeypatch):
    """Either parser takes a kilobyte of memory and more for every name."""
    monkeypatch.setattr("ast.literal_eval", lambda text: pytest.fail("evaluated"))
    monkeypatch.setattr("yaml.load", lambda *_, **__: pytest.fail("evaluated"))
    monkeypatch.setattr("proxyclip.data.class_lists.structures.MAX_PARTS_PER_NAME", 1)
    for text in ("['a'" + ",'b'" * 100_001 + "]", "names:\n" + " - b\n" * 202_000):
        with pytest.raises(TooManyNames, match="at most 100000 names"):
            parse_vocabulary(text)


def test_class_list_of_500_mb_is_refused_before_it_is_read(tmp_path, monkeypatch, capsys):
    path = tmp_path / "classes.txt"
    with path.open("wb") as file:
        file.truncate(500 * 10**6)  # no bytes on disk
    monkeypatch.setattr(os, "read", lambda *_: pytest.fail("read"))
    with pytest.raises(FileTooLarge, match=r"a class list of at most 10\.0 MB, but .*classes\.txt has 500\.0 MB"):
        read_vocabulary(path)
    with pytest.raises(FileTooLarge, match=r"500\.0 MB"):
        parse_class_query(str(path))
    assert main(["--tiny", "--classes", str(path)]) != 0
    assert "has 500.0 MB" in capsys.readouterr().err


def test_class_list_that_never_ends_is_refused(tmp_path):
    device = tmp_path / "classes.txt"
    device.symlink_to("/dev/zero")
    with pytest.raises(FileTooLarge, match="has more: is it the right file"):
        read_vocabulary(device)


def test_text_of_classes_has_a_length_that_is_refused():
    text = "a;" * (MAX_CLASS_LIST_BYTES // 2 + 1)
    for read in (parse_class_query, parse_class_text, parse_vocabulary):
        with pytest.raises(TooManyNames, match="at most 10000000 letters"):
            read(text)


def test_message_about_a_name_shows_its_beginning_only():
    for classes in ([string.ascii_letters * 30] * 2, "; ".join(["z" * 1900] * 2), [b"x" * 10**6], [[1] * 10**5]):
        with pytest.raises((ValueError, TypeError)) as error:
            parse_class_query(classes)
        assert len(str(error.value)) < 400
