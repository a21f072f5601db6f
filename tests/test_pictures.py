"""What all pictures share: colours of classes, letters that a text needs, and where names stand."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw

from proxyclip import letters, naming, palette, pictures

FONTS = Path(matplotlib.get_data_path(), "fonts/ttf")
OWN = str(FONTS / "DejaVuSans.ttf")


def test_a_data_set_keeps_its_colours():
    own = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert pictures.class_palette(own, 2).tolist() == own[:2]
    for too_few in (None, own):
        found = pictures.class_palette(too_few, 26)
        assert ["#" + bytes(one).hex() for one in found[:24].tolist()] == list(palette.PALETTE)


@pytest.mark.parametrize("count", [1, 24, 25, 256, 847])
@pytest.mark.parametrize("background", [False, True])
def test_colours_differ(count, background):
    found = palette.colours(count, background)
    assert found.shape == (count, 3) and found.dtype == np.uint8
    assert len({tuple(one) for one in found.tolist()}) == count
    assert np.array_equal(found, palette.colours(900, background)[:count])  # whatever the number of classes
    if background:
        assert np.array_equal(found[1:], palette.colours(count)[: count - 1])
        assert np.ptp(found[0].astype(int)) < 16  # grey


def test_colours_of_none_and_of_very_many():
    assert palette.colours(0).shape == (0, 3)
    assert palette.colours(3000).shape == (3000, 3)


def test_the_first_further_colours_are_far_apart():
    places = palette._lab(palette.colours(64))
    apart = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e3 * np.eye(64)
    assert apart[24:].min() > 14  # two just noticeable differences are 5
    assert places[24:, 0].min() > 25 and places[24:, 0].max() < 95  # none black, none white


def test_letters_are_matplotlibs_where_they_suffice():
    for text in ("horse", "Größe", "лошадь", ""):
        assert letters.font(text, 12).path == OWN
    assert letters.font("horse", 12, bold=True).path == str(FONTS / "DejaVuSans-Bold.ttf")
    assert letters.font("horse", 40).size == 40


@pytest.fixture
def system(monkeypatch):
    """What fontconfig answers: the test sets `.answer`, and sees how often it was asked in `.asked`."""
    state = SimpleNamespace(answer="", asked=[])

    def run(command, **_):
        state.asked.append(command)
        if isinstance(state.answer, Exception):
            raise state.answer
        return SimpleNamespace(stdout=state.answer)

    monkeypatch.setattr(letters.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(letters.subprocess, "run", run)
    letters._file.cache_clear()
    yield state
    letters._file.cache_clear()


def test_the_system_is_asked_for_letters_that_are_missing(system):
    stix = str(FONTS / "STIXGeneral.ttf")  # has a sign that DejaVu lacks
    system.answer = f"{stix}\n0"
    assert letters.font("wave \u2312", 12).path == stix
    assert letters.font("wave \u2312\u2312", 20).path == stix
    assert len(system.asked) == 1 and "charset=2312" in system.asked[0][-1]
    assert letters.font("wave", 12).path == OWN


@pytest.mark.parametrize(
    "answer",
    ["", f"{OWN}\n0", "/nowhere/font.ttc\n0", subprocess.TimeoutExpired("fc-match", 10), FileNotFoundError("fc-match")],
)
def test_boxes_where_the_system_has_no_better(system, answer):
    system.answer = answer
    assert letters.font("\u2312", 12).path == OWN
    assert len(system.asked) == 1


def test_boxes_without_fontconfig(system, monkeypatch):
    monkeypatch.setattr(letters.shutil, "which", lambda name: None)
    assert letters.font("\u2312", 12).path == OWN
    assert system.asked == []


def test_any_text_can_be_drawn():
    text = letters.clean("a\nb\tc\x00d\ud800e \u200c \u0301 😀")
    assert text.startswith("a b c d e ")
    draw = ImageDraw.Draw(Image.new("RGB", (90, 20)))
    draw.text((0, 0), text, font=letters.font(text, 12))


def test_lines_keep_all_words():
    text = "an old tree with many leaves"
    found = letters.lines(text, 12, 80)
    assert " ".join(found) == text and len(found) > 2
    assert all(letters.width(line, 12) <= 80 for line in found)
    assert letters.lines("", 12, 80) == [""]
    word = "Donaudampfschifffahrt"
    found = letters.lines(f"the {word}", 12, 60)
    assert found[0] == "the" and "".join(found[1:]) == word
    assert all(letters.width(line, 12) <= 60 for line in found)
    assert letters.lines("abc", 12, 1) == ["a", "b", "c"]  # no room for any letter


def test_very_long_texts_end_in_dots():
    for text in ("word " * 99, "x" * 999):
        found = letters.lines(text, 12, 80, count=3)
        assert len(found) == 3 and found[-1].endswith("…")
        assert all(letters.width(line, 12) <= 80 for line in found)
    assert letters.fitting("short", 12, 80) == "short"
    cut = letters.fitting("a longer text than fits", 12, 80)
    assert cut.endswith("…") and letters.width(cut, 12) <= 80 < letters.width(cut + "mm", 12)


def test_names_stand_in_the_middle_of_what_is_equally_deep():
    labels = np.zeros((60, 300), int)
    labels[30:] = 1
    found = naming.words(labels, np.ones(labels.shape, bool), {0: "sky", 1: "sea"})
    assert {word.text: word.y > 30 for word in found} == {"sky": False, "sea": True}
    assert all(abs(word.x - 150) < 5 for word in found)


def test_names_need_the_width_that_is_measured():
    labels, whole = np.zeros((60, 300), int), np.ones((60, 300), bool)
    assert naming.words(labels, whole, {0: "sky"}, 20, lambda text: 100.0)
    assert not naming.words(labels, whole, {0: "sky"}, 20, lambda text: 301.0)
    assert not naming.words(labels, ~whole, {0: "sky"})


def test_titles_and_legends_of_evaluations_take_any_name():
    sheet = pictures.legend([("馬\n\ud800", np.array([255, 0, 0])), ("x" * 99, np.array([0, 0, 255]))], 200)
    assert sheet.shape[1] == 200 and (sheet == [255, 0, 0]).all(2).sum() == 14 * 14
    assert (sheet[:, -5:] == 255).all()  # long names end before the edge
    assert pictures.titled("a title", np.zeros((5, 90, 3), np.uint8)).shape == (5 + pictures.HIGH, 90, 3)
