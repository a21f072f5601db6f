"""Pictures of one segmentation: colours, lines and names where they belong, legends, sheets and heat maps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageDraw

from proxyclip import palette
from proxyclip.api import drawing, overlays

NAMES = ("sky", "grass", "boat")
COLOURS = palette.colours(3)
UNICODE = ("лошадь", "סוס", "馬", "Ä", "a\nb\tc\x00", "\ud800", "", " ", "x" * 500, "word " * 90, "😀")


def grey(h: int, w: int, value: int = 120) -> np.ndarray:
    return np.full((h, w, 3), value, np.uint8)


def halves(h: int = 60, w: int = 100) -> np.ndarray:
    """Sky on the left, grass on the right, no boat."""
    labels = np.zeros((h, w), np.int32)
    labels[:, w // 2 :] = 1
    return labels


@contextmanager
def recorded() -> Iterator[list[tuple[str, tuple[float, ...]]]]:
    """Text and box (halo included) of everything that overlays write."""
    found: list[tuple[str, tuple[float, ...]]] = []

    class Recorder(ImageDraw.ImageDraw):
        def text(self, xy, text, fill=None, font=None, anchor=None, **more):
            found.append((text, self.textbbox(xy, text, font, anchor, stroke_width=more["stroke_width"])))
            super().text(xy, text, fill, font, anchor, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlays.ImageDraw, "Draw", Recorder)
        yield found


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_regions_have_their_colours(alpha):
    labels = halves()
    painted = drawing.overlay(grey(*labels.shape), labels, NAMES, COLOURS, alpha, write=False)
    wanted = alpha * COLOURS[labels] + (1 - alpha) * 120
    away = np.abs(np.arange(100) - 49.5) > 2
    assert np.abs(painted[:, away] - wanted[:, away]).max() <= 1


def test_a_line_between_regions_contrasts():
    labels = halves()
    for colours, line in (((10, 60), 255), ((250, 200), 16)):
        pair = np.array([[one] * 3 for one in (*colours, 0)], np.uint8)
        painted = drawing.overlay(grey(*labels.shape), labels, NAMES, pair, write=False)
        assert (painted[:, 49, 0] == line).all()
        assert len(np.unique(painted[:, :48], axis=None)) == 1
    whole = drawing.overlay(grey(9, 9), np.zeros((9, 9), int), NAMES, COLOURS, 0, write=False)
    assert (whole == 120).all()  # no line where there is no other region


def test_pixels_of_no_class_are_dark():
    labels = np.full((30, 40), 7)
    labels[:, 20:] = -1
    assert (drawing.overlay(grey(30, 40), labels, NAMES, COLOURS)[:, [0, 39]] == 40).all()


def test_names_stand_on_their_regions():
    labels = halves(240, 400)
    with recorded() as words:
        painted = drawing.overlay(grey(240, 400), labels, NAMES, COLOURS)
    boxes = dict(words)
    assert boxes["sky"][2] < 200 < boxes["grass"][0] and len(words) == 2
    plain = drawing.overlay(grey(240, 400), labels, NAMES, COLOURS, write=False)
    changed = (painted != plain).any(2)
    y, x = np.nonzero(changed)
    for left, (x0, y0, x1, y1) in ((True, boxes["sky"]), (False, boxes["grass"])):
        mine = (x < 200) == left
        assert x0 <= x[mine].min() <= x[mine].max() < x1
        assert y0 <= y[mine].min() <= y[mine].max() < y1
    assert {overlays.DARK, overlays.LIGHT} <= {tuple(one) for one in painted[changed].tolist()}  # halo and letters


def test_names_that_have_no_room_are_left_out():
    stripes = np.tile(np.arange(300)[:, None] // 3 % 2, 300)
    with recorded() as words:
        drawing.overlay(grey(12, 400), halves(12, 400), NAMES, COLOURS)  # too low
        drawing.overlay(grey(200, 30), np.zeros((200, 30), int), ("impossible",), COLOURS[:1])  # too narrow
        drawing.overlay(grey(300, 300), stripes, NAMES, COLOURS)
    assert words == []


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_names_never_overlap_nor_leave_the_picture(h, w, rows, columns, seed):
    cells = np.random.default_rng(seed).integers(0, len(UNICODE), (rows, columns)).astype(np.uint8)
    labels = cv2.resize(cells, (w, h), interpolation=cv2.INTER_NEAREST)
    with recorded() as words:
        painted = drawing.overlay(grey(h, w), labels, UNICODE, palette.colours(len(UNICODE)))
    assert painted.shape == (h, w, 3) and painted.dtype == np.uint8
    for i, (_, (x0, y0, x1, y1)) in enumerate(words):
        assert x0 >= 0 and y0 >= 0 and x1 <= w and y1 <= h, words
        assert all(x1 <= a or c <= x0 or y1 <= b or d <= y0 for _, (a, b, c, d) in words[:i]), words


def test_names_follow_the_size_of_the_picture():
    heights = []
    for scale in (1, 4):
        with recorded() as words:
            drawing.overlay(grey(400 * scale, 600 * scale), halves(400 * scale, 600 * scale), NAMES, COLOURS)
        heights.append(words[0][1][3] - words[0][1][1])
    assert heights[1] == pytest.approx(4 * heights[0], rel=0.2)


@pytest.mark.parametrize(
    "bad", [{"alpha": 1.5}, {"names": ("a",)}, {"image": grey(9, 8)}, {"image": grey(8, 9)[..., 0]}]
)
def test_what_does_not_go_together_is_said(bad):
    right = dict(image=grey(8, 9), labels=np.zeros((8, 9), int), names=NAMES, colours=COLOURS)
    with pytest.raises(ValueError, match=r"Expected .* but got"):
        drawing.overlay(**right | bad)


def swatches(sheet: np.ndarray, colours: np.ndarray) -> list[int]:
    """The colours that occur in a legend, from the top."""
    rows = [np.flatnonzero((sheet == one).all(2).any(1)) for one in colours]
    return sorted((i for i, row in enumerate(rows) if len(row)), key=lambda i: rows[i][0])


def test_a_legend_has_what_occurs_by_size():
    colours = palette.colours(5)
    sheet = drawing.legend("abcde", colours, [0.2, 0, 0.7, 0.1, 0])
    assert swatches(sheet, colours) == [2, 0, 3]
    assert (sheet == drawing.GREY).all(2)[-20:].any()  # the two others
    assert not (sheet == drawing.INK).all(2)[-20:].any()
    full = drawing.legend("abc", colours[:3], [0.5, 0.3, 0.2])
    assert (full == drawing.INK).all(2)[-20:].any() and len(full) < len(sheet)


def test_a_legend_follows_its_names():
    def legend(*names, **more):
        return drawing.legend(names, palette.colours(len(names)), np.full(len(names), 1 / len(names)), **more)

    short, long, longest = legend("ox"), legend("a longer name"), legend("an " * 30 + "end")
    assert short.shape[1] < long.shape[1] <= longest.shape[1] < 30 * 15
    assert len(short) == len(long) < len(longest)  # lines
    assert legend("ox", size=30).shape[0] == pytest.approx(2 * len(short), abs=1)
    many = [f"name {i}" for i in range(40)]
    one, low, high = legend(*many), legend(*many, height=400), legend(*many, height=10)
    assert one.shape[1] < low.shape[1] < high.shape[1] and len(low) <= 400 < len(one)
    assert 9 * len(high) < 3 * len(one)  # four columns
    wide = legend(*many, width=800)
    assert wide.shape[1] == 800 and len(wide) < len(low)
    assert all(legend(*UNICODE, width=width).shape[1] == width for width in (1, 50, 2000))
    assert drawing.legend((), np.zeros((0, 3)), ()).shape[2] == 3


def noise(h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(h + w)
    return random.integers(0, 255, (h, w, 3), np.uint8), random.integers(0, 2, (h, w))


def find(sheet: np.ndarray, part: np.ndarray) -> tuple[int, int]:
    """(x, y) of the place where a sheet shows a part, to the pixel."""
    x, y = cv2.minMaxLoc(cv2.matchTemplate(sheet, part, cv2.TM_SQDIFF))[2]
    assert np.array_equal(sheet[y : y + part.shape[0], x : x + part.shape[1]], part)
    return x, y


@pytest.mark.parametrize("h, w, stacked", [(480, 640, False), (700, 200, False), (300, 600, False), (200, 600, True)])
def test_a_sheet_shows_image_and_overlay(h, w, stacked):
    image, labels = noise(h, w)
    sheet = drawing.picture(image, labels, NAMES, COLOURS)
    (x, y), (right, below) = find(sheet, image), find(sheet, drawing.overlay(image, labels, NAMES, COLOURS))
    assert (right, below) == (x, below) if stacked else (right, y)
    assert below > y + h if stacked else right > x + w
    legend = sheet[below + h :] if stacked else sheet[:, right + w :]
    assert sorted(swatches(legend, COLOURS)) == [0, 1]


@pytest.mark.parametrize("h, w", [(1, 1), (1, 5000), (5000, 1), (13, 9), (150, 4500)])
def test_a_sheet_of_any_form(h, w):
    sheet = drawing.picture(*noise(h, w), NAMES, COLOURS)
    assert sheet.dtype == np.uint8 and max(sheet.shape) < 3 * drawing.MOST
    assert (sheet[[0, -1]] == 255).all() and (sheet[:, [0, -1]] == 255).all()
    assert swatches(sheet, COLOURS)


def test_small_pictures_are_enlarged_label_by_label():
    labels = np.array([[0, 1], [2, 0]])
    _, large = drawing._fit(grey(2, 2), labels)
    assert np.array_equal(large, np.kron(labels, np.ones((240, 240), int)))
    image, same = drawing._fit(grey(480, 320), np.zeros((480, 320), int))
    assert image.shape[:2] == same.shape == (480, 320)
    image, less = drawing._fit(grey(20, 8192), np.zeros((20, 8192), int))
    assert image.shape[:2] == less.shape == (10, 4096)


def attention(h: int = 60, w: int = 90) -> np.ndarray:
    values = np.full((h, w), np.nan, np.float32)
    values[10:50, 20:80] = 0.5
    values[20:30, 40:60] = 4
    return values


def test_heat_grows_with_the_values():
    shown = drawing.heat(grey(60, 90), attention(), (70, 45)).astype(int)
    outside, low, high = shown[5, 5], shown[40, 30], shown[25, 50]
    assert len(set(outside.tolist())) == 1 and len(set(low.tolist())) > 1
    assert high.sum() > low.sum() + 150
    scaled = drawing.heat(grey(60, 90), attention() / 1e5, (70, 45))
    assert np.array_equal(scaled, shown)


def test_heat_shows_window_and_point():
    plain = drawing.heat(grey(60, 90), attention(), (0, 0))
    for place in (np.s_[10, 20:80], np.s_[49, 20:80], np.s_[10:50, 20], np.s_[10:50, 79]):
        assert (plain[place] == 255).all()
    assert (plain[9, 20:80] < 255).all() and (plain[10:50, 80] < 255).all()
    marked = drawing.heat(grey(60, 90), attention(), (70, 45))
    y, x = np.nonzero((plain != marked).any(2)[30:, 30:])
    assert (30 + y.mean(), 30 + x.mean()) == pytest.approx((45, 70), abs=1)
    whole = drawing.heat(grey(60, 90), np.nan_to_num(attention()), (0, 0))
    assert (whole[-1] == 255).all() and not (whole[10, 20:80] == 255).all()


@pytest.mark.parametrize("point", [(90, 0), (0, 60), (-1, 5)])
def test_a_point_outside_is_said(point):
    with pytest.raises(ValueError, match="0 <= x < 90 and 0 <= y < 60"):
        drawing.heat(grey(60, 90), attention(), point)


@pytest.mark.parametrize("h, w", [(1, 1), (1, 300), (300, 1)])
def test_heat_of_any_form(h, w):
    assert drawing.heat(grey(h, w), np.zeros((h, w)), (w - 1, h - 1)).shape == (h, w, 3)


def test_probabilities_have_one_scale():
    shown = drawing.probability(np.array([[0, 0.5, 1], [-1, np.nan, 2]], np.float32))
    assert shown[0].tolist() == [[68, 1, 84], [33, 145, 140], [253, 231, 37]]  # viridis
    assert shown[1].tolist() == [shown[0, 0].tolist(), shown[0, 0].tolist(), shown[0, 2].tolist()]
    with pytest.raises(ValueError, match=r"\(H, W\), but got \(3,\)"):
        drawing.probability(np.zeros(3))
