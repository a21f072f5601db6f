"""Text in images: fonts, line wrapping and class names on regions."""

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


def test_find_font_prefers_dejavu():
    for text in ("horse", "Größe", "лошадь", ""):
        assert find_font(text, 12).path == OWN
    assert find_font("horse", 12, bold=True).path == str(FONTS / "DejaVuSans-Bold.ttf")
    assert find_font("horse", 40).size == 40


@pytest.fixture
def system(monkeypatch):
    """Stand-in for fontconfig with an `answer` (text or error) and the `commands` run."""
    state = SimpleNamespace(answer="", commands=[])

    def run(command, **_):
        state.commands.append(command)
        if isinstance(state.answer, Exception):
            raise state.answer
        return SimpleNamespace(stdout=state.answer)

    monkeypatch.setattr(text_module.subprocess, "run", run)
    _find_font_file.cache_clear()
    yield state
    _find_font_file.cache_clear()


def test_find_font_asks_fontconfig_for_missing_glyphs(system):
    stix = str(FONTS / "STIXGeneral.ttf")  # has a sign that DejaVu lacks
    system.answer = f"{stix}\n0"
    assert find_font("wave \u2312", 12).path == stix
    assert find_font("wave \u2312\u2312", 20).path == stix
    assert len(system.commands) == 1 and "charset=2312" in system.commands[0][-1]
    assert find_font("wave", 12).path == OWN


@pytest.mark.parametrize(
    "answer",
    ["", f"{OWN}\n0", "/nowhere/font.ttc\n0", subprocess.TimeoutExpired("fc-match", 10), FileNotFoundError("fc-match")],
)
def test_find_font_keeps_dejavu_without_a_better_font(system, answer):
    system.answer = answer
    assert find_font("\u2312", 12).path == OWN
    assert len(system.commands) == 1


def test_printable_text_can_be_drawn():
    text = printable_text("a\nb\tc\x00d\ud800e \u200c \u0301 😀")
    assert text.startswith("a b c d e ")
    draw = ImageDraw.Draw(Image.new("RGB", (90, 20)))
    draw.text((0, 0), text, font=find_font(text, 12))


def test_wrap_text_keeps_all_text():
    text = "an old tree with many leaves"
    lines = wrap_text(text, 12, 80)
    assert " ".join(lines) == text and len(lines) > 2
    assert all(measure_text(line, 12) <= 80 for line in lines)
    assert wrap_text("", 12, 80) == [""]
    word = "Donaudampfschifffahrt"
    lines = wrap_text(f"the {word}", 12, 60)
    assert lines[0] == "the" and "".join(lines[1:]) == word
    assert all(measure_text(line, 12) <= 60 for line in lines)
    assert wrap_text("abc", 12, 1) == ["a", "b", "c"]  # narrower than any letter


def test_wrap_and_truncate_text_end_in_an_ellipsis():
    for text in ("word " * 99, "x" * 999):
        lines = wrap_text(text, 12, 80, max_lines=3)
        assert len(lines) == 3 and lines[-1].endswith("…")
        assert all(measure_text(line, 12) <= 80 for line in lines)
    assert truncate_text("short", 12, 80) == "short"
    cut = truncate_text("a longer text than fits", 12, 80)
    assert cut.endswith("…") and measure_text(cut, 12) <= 80 < measure_text(cut + "mm", 12)


def test_place_region_labels_centers_names():
    labels = np.zeros((60, 300), int)
    labels[30:] = 1
    placed = place_region_labels(labels, np.ones(labels.shape, bool), {0: "sky", 1: "sea"})
    assert {label.text: label.y > 30 for label in placed} == {"sky": False, "sea": True}
    assert all(abs(label.x - 150) < 5 for label in placed)


def test_place_region_labels_needs_the_measured_width():
    labels, whole = np.zeros((60, 300), int), np.ones((60, 300), bool)
    assert place_region_labels(labels, whole, {0: "sky"}, 20, lambda text: 100.0)
    assert not place_region_labels(labels, whole, {0: "sky"}, 20, lambda text: 301.0)
    assert not place_region_labels(labels, ~whole, {0: "sky"})


def test_place_region_labels_stays_in_the_image():
    labels = np.zeros((48, 96), int)
    labels[:, 60:] = 1
    placed = place_region_labels(labels, np.ones(labels.shape, bool), {0: "sky", 1: "tv, television set"})
    assert [label.text for label in placed] == ["sky", "tv"]
    assert 0 < placed[0].x < 60 < placed[1].x < 96 and all(0 < label.y < 48 for label in placed)


def test_place_region_labels_avoids_overlaps():
    stripes = np.tile(np.arange(96) // 10, (48, 1))
    placed = place_region_labels(stripes, np.ones(stripes.shape, bool), dict.fromkeys(range(10), "a long name"))
    centers = sorted(label.x for label in placed)
    assert 1 < len(placed) < 10 and min(np.diff(centers)) > 0.6 * placed[0].size * len("a long name")
