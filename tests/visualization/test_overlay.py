"""Overlays, label layers, attention and probabilities."""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from helpers.drawing import COLORS, NAMES, UNICODE, gray
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageDraw

from proxyclip.visualization import overlay
from proxyclip.visualization.overlay import (
    DARK_LINE_COLOR,
    HATCH_COLORS,
    LIGHT_LINE_COLOR,
    draw_attention,
    draw_label_layer,
    draw_overlay,
    draw_probability,
)
from proxyclip.visualization.palette import class_colors


def halves(h: int = 60, w: int = 100) -> np.ndarray:
    """Sky on the left, grass on the right, no boat."""
    labels = np.zeros((h, w), np.int32)
    labels[:, w // 2 :] = 1
    return labels


@contextmanager
def recorded() -> Iterator[list[tuple[str, tuple[float, ...]]]]:
    """Text and box (halo included) of all names drawn on an overlay."""
    texts: list[tuple[str, tuple[float, ...]]] = []

    class Recorder(ImageDraw.ImageDraw):
        def text(self, xy, text, fill=None, font=None, anchor=None, **more):
            texts.append((text, self.textbbox(xy, text, font, anchor, stroke_width=more["stroke_width"])))
            super().text(xy, text, fill, font, anchor, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlay.ImageDraw, "Draw", Recorder)
        yield texts


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_draw_overlay_blends_class_colors(alpha):
    labels = halves()
    drawn = draw_overlay(gray(*labels.shape), labels, NAMES, COLORS, alpha, with_names=False)
    expected = alpha * COLORS[labels] + (1 - alpha) * 120
    away = np.abs(np.arange(100) - 49.5) > 2
    assert np.abs(drawn[:, away] - expected[:, away]).max() <= 1


def test_draw_overlay_outlines_contrast():
    labels = halves()
    for colors, line in (((10, 60), 255), ((250, 200), 16)):
        pair = np.array([[level] * 3 for level in (*colors, 0)], np.uint8)
        drawn = draw_overlay(gray(*labels.shape), labels, NAMES, pair, with_names=False)
        assert (drawn[:, 49, 0] == line).all()
        assert len(np.unique(drawn[:, :48], axis=None)) == 1
    whole = draw_overlay(gray(9, 9), np.zeros((9, 9), int), NAMES, COLORS, 0, with_names=False)
    assert (whole == 120).all()  # no line where there is no other region


def test_draw_overlay_darkens_pixels_without_class():
    labels = np.full((30, 40), 7)
    labels[:, 20:] = -1
    assert (draw_overlay(gray(30, 40), labels, NAMES, COLORS)[:, [0, 39]] == 40).all()


def test_draw_overlay_names_are_on_their_regions():
    labels = halves(240, 400)
    with recorded() as texts:
        drawn = draw_overlay(gray(240, 400), labels, NAMES, COLORS)
    boxes = dict(texts)
    assert boxes["sky"][2] < 200 < boxes["grass"][0] and len(texts) == 2
    plain = draw_overlay(gray(240, 400), labels, NAMES, COLORS, with_names=False)
    changed = (drawn != plain).any(2)
    y, x = np.nonzero(changed)
    for left, (x0, y0, x1, y1) in ((True, boxes["sky"]), (False, boxes["grass"])):
        mine = (x < 200) == left
        assert x0 <= x[mine].min() <= x[mine].max() < x1
        assert y0 <= y[mine].min() <= y[mine].max() < y1
    halo_and_letters = {DARK_LINE_COLOR, LIGHT_LINE_COLOR}
    assert halo_and_letters <= {tuple(color) for color in drawn[changed].tolist()}


def test_draw_overlay_leaves_out_names_that_do_not_fit():
    stripes = np.tile(np.arange(300)[:, None] // 3 % 2, 300)
    with recorded() as texts:
        draw_overlay(gray(12, 400), halves(12, 400), NAMES, COLORS)  # too low
        draw_overlay(gray(200, 30), np.zeros((200, 30), int), ("impossible",), COLORS[:1])  # too narrow
        draw_overlay(gray(300, 300), stripes, NAMES, COLORS)
    assert texts == []


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_draw_overlay_names_never_overlap_nor_leave_the_image(h, w, rows, columns, seed):
    cells = np.random.default_rng(seed).integers(0, len(UNICODE), (rows, columns)).astype(np.uint8)
    labels = cv2.resize(cells, (w, h), interpolation=cv2.INTER_NEAREST)
    with recorded() as texts:
        drawn = draw_overlay(gray(h, w), labels, UNICODE, class_colors(len(UNICODE)))
    assert drawn.shape == (h, w, 3) and drawn.dtype == np.uint8
    for i, (_, (x0, y0, x1, y1)) in enumerate(texts):
        assert x0 >= 0 and y0 >= 0 and x1 <= w and y1 <= h, texts
        assert all(x1 <= a or c <= x0 or y1 <= b or d <= y0 for _, (a, b, c, d) in texts[:i]), texts


def test_draw_overlay_names_scale_with_the_image():
    heights = []
    for scale in (1, 4):
        with recorded() as texts:
            draw_overlay(gray(400 * scale, 600 * scale), halves(400 * scale, 600 * scale), NAMES, COLORS)
        heights.append(texts[0][1][3] - texts[0][1][1])
    assert heights[1] == pytest.approx(4 * heights[0], rel=0.2)


@pytest.mark.parametrize(
    "bad", [{"alpha": 1.5}, {"names": ("a",)}, {"image": gray(9, 8)}, {"image": gray(8, 9)[..., 0]}]
)
def test_draw_overlay_refuses_arguments_that_do_not_fit(bad):
    right = dict(image=gray(8, 9), labels=np.zeros((8, 9), int), names=NAMES, colors=COLORS)
    with pytest.raises(ValueError, match=r"Expected .* but got"):
        draw_overlay(**right | bad)


def test_draw_label_layer_hatches_unknown_pixels():
    indices, known = np.array([[0, 1, 0, 0], [1, 1, 0, 0]]), np.array([[True, True, False, False]] * 2)
    layer = draw_label_layer(indices, known, ("#ff0000", "#0000ff"), (10, 20))
    pixels = np.asarray(layer.convert("RGBA"))
    assert pixels[0, 0].tolist() == [255, 0, 0, 10] and pixels[1, 0].tolist() == [0, 0, 255, 20]
    hatching = {"#" + bytes(pixel[:3].tolist()).hex() for pixel in pixels[:, 2:].reshape(-1, 4)}
    assert hatching <= set(HATCH_COLORS) and (pixels[:, 2:, 3] == 255).all()


def attention(h: int = 60, w: int = 90) -> np.ndarray:
    values = np.full((h, w), np.nan, np.float32)
    values[10:50, 20:80] = 0.5
    values[20:30, 40:60] = 4
    return values


def test_draw_attention_is_brighter_for_higher_values():
    shown = draw_attention(gray(60, 90), attention(), (70, 45)).astype(int)
    outside, low, high = shown[5, 5], shown[40, 30], shown[25, 50]
    assert len(set(outside.tolist())) == 1 and len(set(low.tolist())) > 1
    assert high.sum() > low.sum() + 150
    scaled = draw_attention(gray(60, 90), attention() / 1e5, (70, 45))
    assert np.array_equal(scaled, shown)


def test_draw_attention_marks_window_and_point():
    plain = draw_attention(gray(60, 90), attention(), (0, 0))
    for place in (np.s_[10, 20:80], np.s_[49, 20:80], np.s_[10:50, 20], np.s_[10:50, 79]):
        assert (plain[place] == 255).all()
    assert (plain[9, 20:80] < 255).all() and (plain[10:50, 80] < 255).all()
    marked = draw_attention(gray(60, 90), attention(), (70, 45))
    y, x = np.nonzero((plain != marked).any(2)[30:, 30:])
    assert (30 + y.mean(), 30 + x.mean()) == pytest.approx((45, 70), abs=1)
    whole = draw_attention(gray(60, 90), np.nan_to_num(attention()), (0, 0))
    assert (whole[-1] == 255).all() and not (whole[10, 20:80] == 255).all()


@pytest.mark.parametrize("point", [(90, 0), (0, 60), (-1, 5)])
def test_draw_attention_refuses_points_outside(point):
    with pytest.raises(ValueError, match="0 <= x < 90 and 0 <= y < 60"):
        draw_attention(gray(60, 90), attention(), point)


@pytest.mark.parametrize("h, w", [(1, 1), (1, 300), (300, 1)])
def test_draw_attention_of_any_size(h, w):
    assert draw_attention(gray(h, w), np.zeros((h, w)), (w - 1, h - 1)).shape == (h, w, 3)


def test_draw_probability_has_one_scale():
    shown = draw_probability(np.array([[0, 0.5, 1], [-1, np.nan, 2]], np.float32))
    assert shown[0].tolist() == [[68, 1, 84], [33, 145, 140], [253, 231, 37]]  # viridis
    assert shown[1].tolist() == [shown[0, 0].tolist(), shown[0, 0].tolist(), shown[0, 2].tolist()]
    with pytest.raises(ValueError, match=r"\(H, W\), but got \(3,\)"):
        draw_probability(np.zeros(3))
