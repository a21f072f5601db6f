"""Class lists of other tools, line by line."""

import pytest

from proxyclip.data.class_lists.lines import clean_class_lines, unquote_name

LISTS = [
    ("__ignore__\n_background_\ntree\npond", "_background_ tree pond", "label 0 is '_background_'"),
    ('"__ignore__"\nlake\nroad', "lake road", "__ignore__"),
    ("# label:color_rgb:parts:actions\nground:0,0,0::\nlamp:12,200,3::", "ground lamp", "CVAT"),
    ("ground:::\nlamp:1,2,3:bulb:on", "ground lamp", "CVAT"),
    ("0\tlake\n1\troad", "lake road", "0 to 1"),
    ("0 lake\n1 road\n2 hut", "lake road hut", "0 to 2"),
    ("1 lake\n2 road", "lake road", "'lake' is label 0"),
    ("0: lake\n1: road", "lake road", "labels"),
    ('"0": "lake",\n"1": "road"', "lake road", "labels"),
    ("1. lake\n2. road", "lake road", "reduce_zero_label=True"),
    ("1) lake\n2) road", "lake road", "1 to 2"),
    ("0,lake\n1,road", "lake road", "0 to 1"),
    ("0;lake\n1;road", "lake road", "0 to 1"),
    ("\uff11\u3001lake\n\uff12\u3001road", "lake road", "1 to 2"),
    ("1: road\n0: lake", "lake road", "put into their order"),
    ("lake 0\nroad 1", "lake road", "0 to 1"),
    ("lake\t0\nroad\t1", "lake road", "0 to 1"),
    ("id,name\n0,lake\n1,road", "lake road", "column 'name'"),
    ("Idx\tRatio\tName\n1\t0.5\tlake\n2\t0.1\troad", "lake road", "'lake' is label 0"),
    ("name;r;g;b\nlake;1;2;3\nroad;4;5;6", "lake road", "column 'name'"),
    ("label,color\nlake,#00ff00\nroad,#0000ff", "lake road", "column 'label'"),
    ("Pixel Value, Class\n0, lake\n1, road", "lake road", "column 'class'"),
    ("class 0: lake\nclass 1: road", "lake road", "0 to 1"),
    ("[0] lake\n[1] road", "lake road", "0 to 1"),
    ("#1: lake\n#2: road", "lake road", "1 to 2"),
    ("# of the site\nlake\nroad", "lake road", "comments"),
    ("// site\nlake # deep\nroad", "lake road", "# deep"),
    ("- lake\n- road", "lake road", ""),
    ("• lake\n• road", "lake road", ""),
    ("lake,\nroad,", "lake road", ""),
]


@pytest.mark.parametrize(("text", "names", "note"), LISTS, ids=lambda value: ascii(value)[:24])
def test_lists_of_other_tools_are_read_as_meant(text, names, note):
    lines = clean_class_lines(text.splitlines(), "sites.txt")
    assert [unquote_name(line.text) for line in lines.lines] == names.split()
    assert note in " ".join(lines.notes)
    assert bool(note) == bool(lines.notes)
    assert all(item.startswith("sites.txt: ") for item in lines.notes)


PLAIN = [
    "1 euro coin", "1 euro coin\n2 euro coin", "1 cent coin\n2 cent coin\n5 cent coin", "2 door car\n4 wheel drive",
    "4:3 screen\n16:9 screen", "terminal 1\nterminal 2", "Boeing 707\nAirbus 380", "3-wheeler\n18-wheeler",
    "C# code\nbook",
    "0; zero\n1; one", "[unknown]\n[other]", "lord's table\n'tis", "1,5 liter bottle\n2,5 liter bottle",
    "traffic light:red",
    "seat 5a\nseat 5b", "name\nlabel", "building, edifice\nsky",
]  # fmt: skip


@pytest.mark.parametrize("text", PLAIN)
def test_names_with_numbers_and_signs_stay(text):
    lines = clean_class_lines(text.splitlines(), "x")
    assert [line.text for line in lines.lines] == text.splitlines()


WRONG = [
    ("0: lake\n2: road", "line 2 of x has 2, where 1"), ("7\tlake\n8\troad", "line 1 of x has 7"),
    ("0: lake\n0: road", "line 2 of x has 0, which stands twice"), ("0 lake\n1 road\n3 hut", "line 3 of x has 3"),
    ("lake:7\nroad:9", "line 1 of x has 7"), ("0: lake\n1: road\nhut", "line 3 of x is 'hut'"),
    ("- lake\nroad", "line 1 of x is '- lake' and line 2"), ("lake\n__ignore__", "line 2 of x: it is no class"),
    ("__ignore__\nlake\n__ignore__", "line 3 of x"), ("id,name\n0,lake\nx,road", "line 3 of x, but got 'x,road'"),
    ("id,name\n0,lake,deep\n1,road", "line 2 of x"), ("lake,1,2,3\nroad,4,5,6", "line 1 of x, but got 'lake,1,2,3'"),
    ("lake 10 20 30\nroad 4 5 6", "line 1 of x"), ("lake #00ff00\nroad #0000ff", "keep the names alone"),
    ("lake\tdeep\nroad\tlong", "keep the names alone"),
    ("64 128 64 Animal\n192 0 128 Archway", "keep the names alone"),
    ("64, 128, 64, lake\n192, 0, 128, road", "keep the names alone"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), WRONG, ids=lambda value: ascii(value)[:24])
def test_uncertain_lists_are_refused_with_the_line(text, message):
    with pytest.raises(ValueError, match="Expected") as error:
        clean_class_lines(text.splitlines(), "x")
    assert message in str(error.value)


@pytest.mark.parametrize("name", ['"lake"', "'lake'", "“lake”", "«lake»", "「lake」", "lake"])
def test_unquote_name(name):
    assert unquote_name(name) == "lake"
    assert unquote_name('"') == '"' and unquote_name("'a' 'b'") == "'a' 'b'"
