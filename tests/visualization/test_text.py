"""Text in images: fonts with the glyphs of a text, lines, and class names on regions."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw

from proxyclip.visualization import text as text_module
from proxyclip.visualization.text import (
    _find_font_file,
    find_font,
    measure_text,
    place_region_labels,
    printable_text,
    truncate_text,
    wrap_text,
)

FONTS = Path(matplotlib.get_data_path(), "fonts/ttf")
OWN = str(FONTS / "DejaVuSans.ttf")


def test_letters_are_matplotlibs_where_they_suffice():
    for text in ("horse", "Größe", "лошадь", ""):
        assert find_font(text, 12).path == OWN
    assert find_font("horse", 12, bold=True).path == str(FONTS / "DejaVuSans-Bold.ttf")
    assert find_font("horse", 40).size == 40


@pytest.fixture
def system(monkeypatch):
    """What fontconfig answers: the test sets `.answer`, and sees how often it was asked in `.asked`."""
    state = SimpleNamespace(answer="", asked=[])

    def run(command, **_):
        state.asked.append(command)
        if isinstance(state.answer, Exception):
            raise state.answer
        return SimpleNamespace(stdout=state.answer)

    monkeypatch.setattr(text_module.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(text_module.subprocess, "run", run)
    _find_font_file.cache_clear()
    yield state
    _find_font_file.cache_clear()


def test_the_system_is_asked_for_letters_that_are_missing(system):
    stix = str(FONTS / "STIXGeneral.ttf")  # has a sign that DejaVu lacks
    system.answer = f"{stix}\n0"
    assert find_font("wave \u2312", 12).path == stix
    assert find_font("wave \u2312\u2312", 20).path == stix
    assert len(system.asked) == 1 and "charset=2312" in system.asked[0][-1]
    assert find_font("wave", 12).path == OWN


@pytest.mark.parametrize(
    "answer",
    ["", f"{OWN}\n0", "/nowhere/font.ttc\n0", subprocess.TimeoutExpired("fc-match", 10), FileNotFoundError("fc-match")],
)
def test_boxes_where_the_system_has_no_better(system, answer):
    system.answer = answer
    assert find_font("\u2312", 12).path == OWN
    assert len(system.asked) == 1


def test_boxes_without_fontconfig(system, monkeypatch):
    monkeypatch.setattr(text_module.shutil, "which", lambda name: None)
    assert find_font("\u2312", 12).path == OWN
    assert system.asked == []


def test_any_text_can_be_drawn():
    text = printable_text("a\nb\tc\x00d\ud800e \u200c \u0301 😀")
    assert text.startswith("a b c d e ")
    draw = ImageDraw.Draw(Image.new("RGB", (90, 20)))
    draw.text((0, 0), text, font=find_font(text, 12))


def test_lines_keep_all_words():
    text = "an old tree with many leaves"
    found = wrap_text(text, 12, 80)
    assert " ".join(found) == text and len(found) > 2
    assert all(measure_text(line, 12) <= 80 for line in found)
    assert wrap_text("", 12, 80) == [""]
    word = "Donaudampfschifffahrt"
    found = wrap_text(f"the {word}", 12, 60)
    assert found[0] == "the" and "".join(found[1:]) == word
    assert all(measure_text(line, 12) <= 60 for line in found)
    assert wrap_text("abc", 12, 1) == ["a", "b", "c"]  # no room for any letter


def test_very_long_texts_end_in_dots():
    for text in ("word " * 99, "x" * 999):
        found = wrap_text(text, 12, 80, max_lines=3)
        assert len(found) == 3 and found[-1].endswith("…")
        assert all(measure_text(line, 12) <= 80 for line in found)
    assert truncate_text("short", 12, 80) == "short"
    cut = truncate_text("a longer text than fits", 12, 80)
    assert cut.endswith("…") and measure_text(cut, 12) <= 80 < measure_text(cut + "mm", 12)


def test_names_stand_in_the_middle_of_what_is_equally_deep():
    labels = np.zeros((60, 300), int)
    labels[30:] = 1
    found = place_region_labels(labels, np.ones(labels.shape, bool), {0: "sky", 1: "sea"})
    assert {word.text: word.y > 30 for word in found} == {"sky": False, "sea": True}
    assert all(abs(word.x - 150) < 5 for word in found)


def test_names_need_the_width_that_is_measured():
    labels, whole = np.zeros((60, 300), int), np.ones((60, 300), bool)
    assert place_region_labels(labels, whole, {0: "sky"}, 20, lambda text: 100.0)
    assert not place_region_labels(labels, whole, {0: "sky"}, 20, lambda text: 301.0)
    assert not place_region_labels(labels, ~whole, {0: "sky"})


def test_large_regions_are_named_inside_the_picture():
    labels = np.zeros((48, 96), int)
    labels[:, 60:] = 1
    found = place_region_labels(labels, np.ones(labels.shape, bool), {0: "sky", 1: "tv, television set"})
    assert [one.text for one in found] == ["sky", "tv"]
    assert 0 < found[0].x < 60 < found[1].x < 96 and all(0 < one.y < 48 for one in found)


def test_names_in_a_picture_do_not_lie_over_each_other():
    stripes = np.tile(np.arange(96) // 10, (48, 1))
    found = place_region_labels(stripes, np.ones(stripes.shape, bool), dict.fromkeys(range(10), "a long name"))
    places = sorted(one.x for one in found)
    assert 1 < len(found) < 10 and min(np.diff(places)) > 0.6 * found[0].size * len("a long name")
