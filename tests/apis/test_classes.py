"""Class lists, background and threshold: accepted forms and refused ones."""

from collections import UserDict, UserList
from pathlib import Path

import numpy as np
import pytest

from proxyclip import Segmenter
from proxyclip.apis.classes import describe_classes, parse_class_query, query_from_config
from proxyclip.data.class_lists.notes import log_note
from proxyclip.data.vocabulary import Vocabulary
from proxyclip.tinyworld.scenes import draw_seeded_scene
from proxyclip.utils.paths import ROOT

FILES = sorted((ROOT / "configs").rglob("cls_*.txt"))
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
MEADOW = (("horse",), ("grass", "lawn"), ("sky",))


@pytest.fixture(scope="module")
def tiny():
    return Segmenter(config="configs/cfg_tinyworld.py", slide_stride=96)


@pytest.fixture(autouse=True)
def _log_notes_anew():
    log_note.cache_clear()  # each is logged once in a process


@pytest.fixture(scope="module")
def image():
    return draw_seeded_scene(4, 0).image[:80, :80]


def parse_classes(classes):
    return parse_class_query(classes).vocabulary.classes


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
)
def test_parse_forms_of_one_list(form):
    query = parse_class_query(form)
    assert query.vocabulary.classes == MEADOW
    assert (query.names, query.threshold) == (("horse", "grass", "sky"), 0)
    assert not query.has_other and not query.has_background


@pytest.mark.parametrize("mapping", [dict, UserDict])
def test_parse_dict_of_names(mapping):
    query = parse_class_query(mapping({"meadow": ["grass", "lawn"], "animal": "horse", "sky": ("sky",)}))
    assert query.names == ("meadow", "animal", "sky")
    assert query.vocabulary.classes == (("grass", "lawn"), ("horse",), ("sky",))


def test_parse_commas_separate_classes_without_semicolons():
    assert parse_classes("horse, grass ,, sky") == (("horse",), ("grass",), ("sky",))
    assert parse_classes("brick wall") == (("brick wall",),)
    assert parse_classes("horse, grass;") == (("horse", "grass"),)
    assert parse_classes(["horse, grass", "a; b"]) == (("horse, grass",), ("a; b",))  # nothing is split in a list


def test_parse_vocabulary_files(tmp_path, monkeypatch):
    path = tmp_path / "cls.txt"
    path.write_text("\ufeffhorse\ngrass;lawn\n\nsky\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for form in (path, str(path), "cls.txt", Path("cls.txt")):
        assert parse_classes(form) == MEADOW
    for missing in (tmp_path / "none.txt", "none.txt", Path("none")):
        with pytest.raises(FileNotFoundError, match="none"):
            parse_class_query(missing)
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"empty\.txt"):
        parse_class_query("empty.txt")


def test_parse_vocabularies_of_the_repository():
    assert len(FILES) > 10
    for path in FILES:
        query = parse_class_query(path.relative_to(ROOT))
        names = query_from_config(query.vocabulary, 0.0).names
        assert len(set(query.names)) == len(query.names) == len(set(names)) == len(names), path


@pytest.mark.parametrize("number", [0.3, np.float32(0.3), 1, np.int64(1)])
def test_parse_number_as_background(number):
    query = parse_class_query(["horse"], number)
    assert query == parse_class_query(["horse"], None, float(number))
    assert (query.names, query.vocabulary.classes) == (("other", "horse"), (("horse",),))
    assert query.threshold == pytest.approx(float(number))
    assert query.has_other and query.has_background


@pytest.mark.parametrize(
    "background", [["wall", "floor"], ("wall", "floor"), "wall, floor", "wall; floor;", "wall\nfloor"]
)
def test_parse_names_as_background(background):
    query = parse_class_query(["horse", "sky"], background, 0.25)
    assert (query.names, query.threshold) == (("background", "horse", "sky"), 0.25)
    assert query.vocabulary.classes == (("wall", "floor"), ("horse",), ("sky",))
    assert query.has_background and not query.has_other


def test_parse_threshold_zero():
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


@pytest.mark.parametrize(("classes", "error_type", "message"), WRONG)
def test_parse_refuses_classes(classes, error_type, message):
    with pytest.raises(error_type, match=f"(?s)Expected.*{message}"):
        parse_class_query(classes)


WRONG_BACKGROUNDS = [
    ((-0.1,), ValueError), ((1.5,), ValueError), ((float("nan"),), ValueError), ((True,), TypeError),
    (("",), ValueError), ((" ; ",), ValueError), (([],), ValueError), (([5],), TypeError), (({"a"},), TypeError),
    ((b"wall",), TypeError), ((0.3, 0.3), ValueError), ((None, -1), ValueError), ((None, 2), ValueError),
    ((None, float("inf")), ValueError), ((None, "0.5"), TypeError), ((None, None), TypeError),
    ((None, True), TypeError),
    ((["wall"], 7), ValueError), ((["wall"], None), TypeError),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "error_type"), WRONG_BACKGROUNDS, ids=str)
def test_parse_refuses_backgrounds_and_thresholds(arguments, error_type):
    with pytest.raises(error_type, match="Expected"):
        parse_class_query(["horse"], *arguments)


def test_parse_reserves_the_name_of_class_0():
    with pytest.raises(ValueError, match="'background'"):
        parse_class_query(["background", "horse"], ["wall"])
    with pytest.raises(ValueError, match="'other'"):
        parse_class_query(["horse", "other"], 0.4)
    assert parse_class_query(["background", "horse"]).has_background
    assert parse_class_query(["other", "horse"]).names == ("other", "horse")


@pytest.mark.parametrize(
    ("classes", "background", "message"),
    [
        ([["fish", "sky"], ["boat", "sky"]], None, "'sky' stands for 'fish' and 'boat'"),
        ({"a": ["x", "y"], "b": "y"}, None, "'y' stands for 'a' and 'b'"),
        ("sky; boat", ["wall", "sky"], "'sky' stands for 'background' and 'sky'"),
    ],
)
def test_parse_refuses_synonyms_of_two_classes(classes, background, message):
    with pytest.raises(ValueError, match=message):
        parse_class_query(classes, background)


SHARED = [
    ("Mill; lake; mill", None), (["\uff4d\uff49ll", "mill"], None),
    ({"a": "caf\u00e9", "b": ["bar", "cafe\u0301"]}, None),
    ([["lake", "salt &amp; pepper"], "salt & pepper"], None),
    ("lake", "Lake, wall"), (["stop sign", "stop\u00a0\u00a0sign "], 0.3),
]  # fmt: skip


@pytest.mark.parametrize(("classes", "background"), SHARED, ids=ascii)
def test_parse_refuses_names_that_are_one_text(classes, background):
    with pytest.raises(ValueError, match=r"one text for CLIP, which reads '.*' for both|'stop sign' stands twice"):
        parse_class_query(classes, background)


def test_synonyms_of_one_class_may_be_one_text_and_a_cased_clip_reads_case():
    assert parse_classes([["caf\u00e9", "bar", "cafe\u0301"], "b"]) == (("caf\u00e9", "bar"), ("b",))
    assert parse_classes([["Sky", "sky"]]) == (("Sky", "sky"),)
    assert len(parse_class_query("Turkey; turkey", lower=False).names) == 2
    assert parse_class_query({"Mill": "windmill", "mill": "watermill"}).names == ("Mill", "mill")  # labels, not texts
    with pytest.raises(ValueError, match="one text"):
        parse_class_query(["caf\u00e9", "cafe\u0301"], lower=False)


@pytest.mark.parametrize(
    "form", ["; ".join, list, "\n".join, "，".join, lambda names: dict(zip(names, names, strict=True))]
)
def test_ignored_label_of_labelme_is_no_class(form):
    query = parse_class_query(form(["__ignore__", "_background_", "lake"]))
    assert query.names == ("_background_", "lake")
    assert "'__ignore__' is left out" in " ".join(query.notes) and "'_background_' marks pixels" in " ".join(
        query.notes
    )
    with pytest.raises(ValueError, match="__ignore__"):
        parse_class_query(form(["lake", "__ignore__", "road"]))


def test_parse_text_of_other_keyboards_and_tools():
    for text in (
        "lake；road；hut",
        "lake、road、hut",
        "1. lake\n2. road\n3. hut",
        "['lake', 'road', 'hut']",
        "lake\troad\thut",
    ):
        assert parse_class_query(text).names == ("lake", "road", "hut"), text
    assert "3 classes, for there is no ';'" in " ".join(parse_class_query("lake, road, hut").notes)
    assert parse_class_query("lake; road, way").notes == ()


@pytest.mark.parametrize("background", ["0.3", "0,3", " .3 ", "3e-1"])
def test_parse_background_text_that_is_a_number(background):
    assert parse_class_query(["lake"], background) == parse_class_query(["lake"], 0.3)
    with pytest.raises(ValueError, match="one threshold"):
        parse_class_query(["lake"], background, 0.2)


@pytest.mark.parametrize("background", ["45%", "45 ％", "45", 45, "45 percent", np.float32(45)])
def test_percent_is_no_background(background):
    with pytest.raises(ValueError, match=r"a probability, but got .*45.*: not percent, write 0\.45"):
        parse_class_query(["lake"], background)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("lake, pond",), "2 classes: lake | pond"),
        (("lake, pond;",), "1 class: lake, pond"),
        (("lake; road", "wall, floor"), "2 classes: lake | road; class 0, background: wall, floor"),
        (("lake; road", "0,3"), "2 classes: lake | road; class 0, other: what no class reaches the probability 0.3 "
         "for"),
        ((["lake, pond", ["hut", "mill"]],), '2 classes: "lake, pond" | hut, mill'),
        ((["background", "lake"],), "2 classes: background | lake"),
        (([f"n{i}" for i in range(15)],), f"15 classes: {' | '.join(f'n{i}' for i in range(12))} | ... and 3 more"),
    ],
)  # fmt: skip
def test_describe_classes(arguments, line):
    assert describe_classes(parse_class_query(*arguments)) == line


def test_long_text_is_no_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gravel").write_text("notes on gravel\n", encoding="utf-8")
    assert parse_class_query("gravel").names == ("gravel",)
    assert parse_class_query("./gravel").names == ("notes on gravel",)
    assert len(parse_class_query("; ".join(f"lake of kind {i}" for i in range(60))).names) == 60
    assert parse_class_query("x" * 300 + "/y").names == ("x" * 300 + "/y",)


@pytest.mark.parametrize(
    ("classes", "note"),
    [
        ("水車; mill", "in a script that this CLIP"),
        (["lake", "very " * 60 + "deep"], "the end is cut"),
        ("lake, pond", "2 classes, for there is no ';'"),
        ("void; lake", "'void' marks pixels"),
    ],
)
def test_segmenter_logs_notes_once_and_keeps_them(tiny, caplog, classes, note):
    for _ in range(2):
        segmenter = tiny.set_classes(classes)
        assert note in " ".join(segmenter.notes)
    assert sum(note in message for message in caplog.messages) == 1
    assert tiny.set_classes(["lake", "mill"]).notes == ()


def test_segmenter_refuses_names_with_equal_tokens(tiny, tmp_path, caplog):
    long = "very " * 60
    for classes in (["Mill", "mill"], [long + "deep", long + "high"]):
        with pytest.raises(ValueError, match="one text for CLIP"):
            tiny.set_classes(classes)
    (tmp_path / "own.txt").write_text(f"{long}deep\n{long}high\n", encoding="utf-8")
    tiny.set_classes(tmp_path / "own.txt")
    assert "one text for this CLIP, only the first can win" in caplog.text


def test_file_with_a_synonym_of_two_classes_warns_and_the_first_wins(tiny, image, tmp_path, caplog):
    (tmp_path / "own.txt").write_text("fish; sky\nboat; sky\nsand\n", encoding="utf-8")
    segmentation = tiny.set_classes(tmp_path / "own.txt")(image)
    assert "only the first can win: ['sky']" in caplog.text
    shared = segmentation.probabilities[0] == segmentation.probabilities[1]
    assert shared.any() and not (segmentation.labels[shared] == 1).any()


@pytest.mark.parametrize(
    "name",
    ["日本語", "Straße", "e\u0301", FAMILY, "नमस्ते\u200c", "{}", "{0} {name} }{", "%s %d", "a; b, c", "<b>&amp;</b>",
     "'\"\\",     "x" * 2000, "very long name " * 120, "../../etc/passwd", "-1", "\u202eright to left"],
    ids=lambda name: ascii(name[:20]),
)  # fmt: skip
def test_segmenter_accepts_any_text_as_class(tiny, image, name):
    segmentation = tiny.set_classes([name, "sky"])(image)
    assert segmentation.names == (" ".join(name.split()), "sky")
    assert np.isfinite(segmentation.probabilities).all()
    assert [category["name"] for category in segmentation.to_coco()["categories"]] == list(segmentation.names)


def test_segmenter_does_not_format_braces_in_names(tiny):
    tiny.set_classes(["{}", "{0}", "a photo"])
    vectors = tiny._model.text
    assert not np.allclose(vectors[0], vectors[2])
