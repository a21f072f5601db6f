"""Figures: legends, image and overlay on one sheet, label maps side by side."""

import cv2
import numpy as np
import pytest
from helpers.drawing import COLORS, NAMES, UNICODE, gray

from proxyclip.visualization.figure import (
    LEGEND_MUTED_COLOR,
    LEGEND_TEXT_COLOR,
    MAX_PANEL_SIDE,
    draw_comparison,
    draw_figure,
    draw_legend,
    resize_to_range,
)
from proxyclip.visualization.overlay import draw_overlay
from proxyclip.visualization.palette import class_colors


def swatches(sheet: np.ndarray, colors: np.ndarray) -> list[int]:
    """The colors that occur in a legend, from the top."""
    rows = [np.flatnonzero((sheet == color).all(2).any(1)) for color in colors]
    return sorted((i for i, row in enumerate(rows) if len(row)), key=lambda i: rows[i][0])


def test_draw_legend_sorts_present_classes_by_share():
    colors = class_colors(5)
    sheet = draw_legend("abcde", colors, [0.2, 0, 0.7, 0.1, 0])
    assert swatches(sheet, colors) == [2, 0, 3]
    assert (sheet == LEGEND_MUTED_COLOR).all(2)[-20:].any()  # the two others
    assert not (sheet == LEGEND_TEXT_COLOR).all(2)[-20:].any()
    full = draw_legend("abc", colors[:3], [0.5, 0.3, 0.2])
    assert (full == LEGEND_TEXT_COLOR).all(2)[-20:].any() and len(full) < len(sheet)


def test_draw_legend_without_shares_keeps_the_order():
    colors = class_colors(4)
    sheet = draw_legend("abcd", colors)
    assert swatches(sheet, colors) == [0, 1, 2, 3]
    assert sheet.shape[1] < draw_legend("abcd", colors, np.full(4, 0.25)).shape[1]


def test_draw_legend_fits_its_names():
    def legend(*names, **more):
        return draw_legend(names, class_colors(len(names)), np.full(len(names), 1 / len(names)), **more)

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
    assert draw_legend((), np.zeros((0, 3)), ()).shape[2] == 3


def noise(h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(h + w)
    return random.integers(0, 255, (h, w, 3), np.uint8), random.integers(0, 2, (h, w))


def find(sheet: np.ndarray, part: np.ndarray) -> tuple[int, int]:
    """(x, y) of the place where a sheet shows a part, to the pixel."""
    x, y = cv2.minMaxLoc(cv2.matchTemplate(sheet, part, cv2.TM_SQDIFF))[2]
    assert np.array_equal(sheet[y : y + part.shape[0], x : x + part.shape[1]], part)
    return x, y


@pytest.mark.parametrize("h, w, stacked", [(480, 640, False), (700, 200, False), (300, 600, False), (200, 600, True)])
def test_draw_figure_shows_image_overlay_and_legend(h, w, stacked):
    image, labels = noise(h, w)
    sheet = draw_figure(image, labels, NAMES, COLORS)
    (x, y), (right, below) = find(sheet, image), find(sheet, draw_overlay(image, labels, NAMES, COLORS))
    assert (right, below) == (x, below) if stacked else (right, y)
    assert below > y + h if stacked else right > x + w
    legend = sheet[below + h :] if stacked else sheet[:, right + w :]
    assert sorted(swatches(legend, COLORS)) == [0, 1]


@pytest.mark.parametrize("h, w", [(1, 1), (1, 5000), (5000, 1), (13, 9), (150, 4500)])
def test_draw_figure_of_any_size(h, w):
    sheet = draw_figure(*noise(h, w), NAMES, COLORS)
    assert sheet.dtype == np.uint8 and max(sheet.shape) < 3 * MAX_PANEL_SIDE
    assert (sheet[[0, -1]] == 255).all() and (sheet[:, [0, -1]] == 255).all()
    assert swatches(sheet, COLORS)


def test_draw_comparison_shows_all_label_maps_and_classes():
    image, labels = noise(480, 300)
    truth = np.where(labels, 2, -1)
    sheet = draw_comparison(image, {"Ground truth": truth, "Prediction": labels}, NAMES, COLORS)
    panels = (image, draw_overlay(image, truth, NAMES, COLORS), draw_overlay(image, labels, NAMES, COLORS))
    places = [find(sheet, panel) for panel in panels]
    assert len({y for _, y in places}) == 1 and [x for x, _ in places] == sorted(x for x, _ in places)
    legend = sheet[places[0][1] + 480 :]
    assert swatches(legend, COLORS) and not (legend == LEGEND_MUTED_COLOR).all(2)[:, 600:].any()
    black = draw_comparison(np.zeros((6, 9, 3), np.uint8), {"Prediction": np.full((3, 3), 7)}, NAMES, COLORS)
    assert swatches(black, COLORS) == []


@pytest.mark.parametrize("h, w", [(1, 1), (1, 300), (300, 1)])
def test_draw_comparison_of_any_size(h, w):
    image, labels = noise(h, w)
    assert swatches(draw_comparison(image, {"a": labels, "馬\ud800": labels}, NAMES, COLORS), COLORS)


def test_resize_to_range_enlarges_by_whole_numbers():
    labels = np.array([[0, 1], [2, 0]])
    assert np.array_equal(resize_to_range(labels, 480, 4096), np.kron(labels, np.ones((240, 240), int)))
    for size, resized in (((480, 320), (480, 320)), ((20, 8192), (10, 4096))):
        assert resize_to_range(gray(*size), 480, 4096).shape == (*resized, 3)
        assert resize_to_range(np.zeros(size), 480, 4096).shape == resized
