"""Class lists as people write them: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

from collections import UserDict, UserList
from pathlib import Path

import numpy as np
import pytest

from proxyclip import Segmenter
from proxyclip.apis.classes import parse_class_query, query_from_config
from proxyclip.data.vocabulary import Vocabulary
from proxyclip.tinyworld.scenes import draw_seeded_scene
from proxyclip.utils.paths import ROOT

FAST = dict(config="configs/cfg_tinyworld.py", slide_stride=96)
FILES = sorted((ROOT / "configs").rglob("cls_*.txt"))
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"


@pytest.fixture(scope="module")
def tiny():
    return Segmenter(**FAST)


@pytest.fixture(scope="module")
def picture():
    return draw_seeded_scene(4, 0).image[:80, :80]


def classes(*given):
    return parse_class_query(*given).vocabulary.classes


MEADOW = (("horse",), ("grass", "lawn"), ("sky",))


@pytest.mark.parametrize(
    "form",
    [
        ["horse", ["grass", "lawn"], "sky"],
        ("horse", ("grass", "lawn"), "sky"),
        UserList(["horse", ["grass", "lawn"], ["sky"]]),
        [" horse ", ["grass", "lawn", "grass"], "sky\n"],
        "horse; grass, lawn; sky",
        " horse;grass ,lawn,; ;sky;",
        "horse\ngrass, lawn\r\nsky\n",
        "horse\ngrass, lawn; sky",
        Vocabulary(MEADOW),
        [np.str_("horse"), ["grass", "lawn"], "sky"],
    ],
    ids=str,
)
def test_forms_of_one_list(form):
    found = parse_class_query(form)
    assert found.vocabulary.classes == MEADOW
    assert found.names == ("horse", "grass", "sky")
    assert found.threshold == 0
    assert not found.has_other
    assert not found.has_background


@pytest.mark.parametrize("kind", [dict, UserDict])
def test_a_dict_names_its_classes(kind):
    found = parse_class_query(kind({"meadow": ["grass", "lawn"], "animal": "horse", "sky": ("sky",)}))
    assert found.names == ("meadow", "animal", "sky")
    assert found.vocabulary.classes == (("grass", "lawn"), ("horse",), ("sky",))


def test_without_semicolons_commas_separate_classes():
    assert classes("horse, grass ,, sky") == (("horse",), ("grass",), ("sky",))
    assert classes("brick wall") == (("brick wall",),)
    assert classes("horse, grass;") == (("horse", "grass"),)
    assert classes(["horse, grass"]) == (("horse, grass",),)  # in a list nothing is taken apart
    assert classes(["a; b"]) == (("a; b",),)


def test_files(tmp_path, monkeypatch):
    path = tmp_path / "cls.txt"
    path.write_text("\ufeffhorse\ngrass;lawn\n\nsky\n", encoding="utf-8")
    assert classes(path) == classes(str(path)) == MEADOW
    monkeypatch.chdir(tmp_path)
    assert classes("cls.txt") == classes(Path("cls.txt")) == MEADOW
    assert len(classes("configs/cls_voc20.txt")) == 20  # of the repository
    for missing in (tmp_path / "none.txt", "none.txt", Path("none")):
        with pytest.raises(FileNotFoundError, match="none"):
            parse_class_query(missing)
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"empty\.txt"):
        parse_class_query("empty.txt")
    (tmp_path / "latin.txt").write_bytes("Stra\xdfe".encode("latin-1"))
    with pytest.raises(ValueError, match="UTF-8"):
        parse_class_query("latin.txt")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_vocabularies_of_the_repository(path):
    """Each is a class list too, and all of its labels have names of their own."""
    found = parse_class_query(path)
    assert len(set(found.names)) == len(found.names)
    assert len(set(query_from_config(found.vocabulary, 0.0).names)) == len(found.names)


def test_vocabularies_are_there():
    assert len(FILES) > 10


@pytest.mark.parametrize("number", [0.3, np.float32(0.3), np.float64(0.3), 1, np.int64(1)])
def test_a_number_as_background(number):
    found = parse_class_query(["horse"], number)
    assert found == parse_class_query(["horse"], None, float(number))
    assert found.names == ("other", "horse")
    assert found.vocabulary.classes == (("horse",),)
    assert found.threshold == pytest.approx(float(number))
    assert found.has_other
    assert found.has_background


@pytest.mark.parametrize(
    "background", [["wall", "floor"], ("wall", "floor"), "wall, floor", "wall; floor;", "wall\nfloor"]
)
def test_words_as_background(background):
    found = parse_class_query(["horse", "sky"], background, 0.25)
    assert found.names == ("background", "horse", "sky")
    assert found.vocabulary.classes == (("wall", "floor"), ("horse",), ("sky",))
    assert found.threshold == 0.25
    assert found.has_background
    assert not found.has_other


def test_a_threshold_of_zero_is_none():
    assert parse_class_query(["horse"], None, 0) == parse_class_query(["horse"])
    assert parse_class_query(["horse"], 0).names == ("other", "horse")  # so that a slider at its end keeps the labels


WRONG = [
    ([], ValueError, "at least one"), ("", ValueError, "at least one"), (" ;,\n", ValueError, "at least one"),
    ({}, ValueError, "at least one"), ([""], ValueError, "a name"), ([" \t\n"], ValueError, "a name"),
    ([[]], ValueError, "got none"), ({"a": []}, ValueError, "'a'"), ({"": "b"}, ValueError, "a name"),
    (["a", "b", "a"], ValueError, "'a' stands twice"), (["a b", "a  b"], ValueError, "'a b' stands twice"),
    ([["a", "b"], "a"], ValueError, "'a' stands twice"), ("a; b; a, c", ValueError, "'a' stands twice"),
    ({"a b": "x", "a  b": "y"}, ValueError, "'a b' stands twice"),
    (["a\0b"], ValueError, "letters"), (["\ud800"], ValueError, "letters"), (["\x1b[31m"], ValueError, "letters"),
    (["\u200b"], ValueError, "letters"), (["a\ud83d"], ValueError, "letters"),
    (None, TypeError, "NoneType"), (5, TypeError, "int"), (b"a", TypeError, "bytes"), ({"a", "b"}, TypeError, "set"),
    ((name for name in "ab"), TypeError, "generator"), (np.array(["a"]), TypeError, "ndarray"),
    ([5], TypeError, "5"), ([None], TypeError, "None"), ([["a", 5]], TypeError, "5"), ([b"a"], TypeError, "b'a'"),
    ([["a", ["b"]]], TypeError, "'b'"), ({5: "a"}, TypeError, "5"), ({"a": 5}, TypeError, "'a'.*5"),
    ([{"a": "b"}], TypeError, "synonyms"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_lists_that_mean_nothing(number):
    given, kind, message = WRONG[number]
    with pytest.raises(kind, match="Expected") as error:
        parse_class_query(given)
    assert error.match(message)


WRONG_BACKGROUNDS = [
    ((-0.1,), ValueError), ((1.5,), ValueError), ((float("nan"),), ValueError), ((True,), TypeError),
    (("",), ValueError), ((" ; ",), ValueError), (([],), ValueError), (([5],), TypeError), (({"a"},), TypeError),
    ((b"wall",), TypeError), ((0.3, 0.3), ValueError), ((None, -1), ValueError), ((None, 2), ValueError),
    ((None, float("inf")), ValueError), ((None, "0.5"), TypeError), ((None, None), TypeError),
    ((None, True), TypeError),
    ((["wall"], 7), ValueError), ((["wall"], None), TypeError),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(WRONG_BACKGROUNDS)))
def test_backgrounds_that_are_none(number):
    given, kind = WRONG_BACKGROUNDS[number]
    with pytest.raises(kind, match="Expected"):
        parse_class_query(["horse"], *given)


def test_class_0_has_its_name_for_itself():
    with pytest.raises(ValueError, match="'background'"):
        parse_class_query(["background", "horse"], ["wall"])
    with pytest.raises(ValueError, match="'other'"):
        parse_class_query(["horse", "other"], 0.4)
    assert parse_class_query(["background", "horse"]).has_background
    assert parse_class_query(["other", "horse"]).names == ("other", "horse")


@pytest.mark.parametrize(
    "name",
    ["日本語", "Straße", "e\u0301", FAMILY, "नमस्ते\u200c", "{}", "{0} {name} }{", "%s %d", "a; b, c", "<b>&amp;</b>",
     "'\"\\",     "x" * 5000, "very long name " * 300, "../../etc/passwd", "-1", "\u202eright to left"],
    ids=lambda name: ascii(name[:20]),
)  # fmt: skip
def test_any_text_is_a_class(tiny, picture, name):
    found = tiny.set_classes([name, "sky"])(picture)
    assert found.names == (" ".join(name.split()), "sky")
    assert np.isfinite(found.probabilities).all()
    assert found.probability(found.names[0]).shape == picture.shape[:2]
    assert [one["name"] for one in found.to_coco()["categories"]] == list(found.names)


def test_braces_do_not_change_the_prompt(tiny):
    """The name is put into the template, and is no template itself."""
    tiny.set_classes(["{}", "{0}", "a photo"])
    vectors = tiny._model.text
    assert not np.allclose(vectors[0], vectors[2])


def test_five_hundred_classes(tiny, picture):
    names = [f"{a} {b}" for a in scenes_words(25) for b in scenes_words(20)]
    found = tiny.set_classes(names, background=0.001)(picture)
    assert found.names == ("other", *names)
    assert found.probabilities.shape == (501, *picture.shape[:2])
    assert found.mask().mode == "I;16"
    assert np.array_equal(np.asarray(found.mask()), found.labels)
    assert len(np.unique(found.colors, axis=0)) == 501


def scenes_words(count):
    from proxyclip.tinyworld import CLASSES

    return [CLASSES[i % len(CLASSES)] + "s" * (i // len(CLASSES)) for i in range(count)]


@pytest.mark.parametrize(
    "classes, background, said",
    [
        ([["fish", "sky"], ["boat", "sky"]], None, "'sky' stands for 'fish' and 'boat'"),
        ({"a": ["x", "y"], "b": "y"}, None, "'y' stands for 'a' and 'b'"),
        ("sky; boat", ["wall", "sky"], "'sky' stands for 'background' and 'sky'"),
    ],
)
def test_a_word_of_two_classes_is_refused(classes, background, said):
    with pytest.raises(ValueError, match=said):
        parse_class_query(classes, background)


def test_a_word_twice_in_a_file_is_told_and_the_first_class_has_it(tiny, picture, tmp_path, caplog):
    (tmp_path / "own.txt").write_text("fish; sky\nboat; sky\nsand\n", encoding="utf-8")
    found = tiny.set_classes(tmp_path / "own.txt")(picture)
    assert "only the first can win: ['sky']" in caplog.text
    shared = found.probabilities[0] == found.probabilities[1]
    assert shared.any()
    assert not (found.labels[shared] == 1).any()
