"""Figure of an attention map: title, mark, and a scale whose numbers are the map's."""

import cv2
import numpy as np
import pytest
from helpers.drawing import gray

from proxyclip.visualization import attention_figure
from proxyclip.visualization.attention_figure import draw_attention_figure
from proxyclip.visualization.overlay import draw_attention, measure_attention_range


@pytest.fixture
def texts(monkeypatch) -> list[str]:
    """Texts that are drawn on a figure, in their order."""
    drawn: list[str] = []

    class Recorder(attention_figure.ImageDraw.ImageDraw):
        def text(self, xy, text, *more, **options):
            drawn.append(text)
            super().text(xy, text, *more, **options)

    monkeypatch.setattr(attention_figure.ImageDraw, "Draw", Recorder)
    return drawn


def weights(h: int = 500, w: int = 640, window: tuple[int, int] = (200, 300)) -> np.ndarray:
    values = np.full((h, w), np.nan, np.float32)
    values[: window[0], : window[1]] = 0.001
    values[20:80, 30:90] = 0.02
    return values


def test_figure_has_title_details_and_the_scale_of_the_map(texts):
    draw_attention_figure(gray(500, 640), weights(), (120, 80), "photo: the patch at (120, 80)", ["VFM dino"])
    assert {"photo: the patch at (120, 80)", "VFM dino"} <= set(texts)
    assert any("column 120, row 80" in text and "framed" in text for text in texts)
    numbers = [text for text in texts if text.endswith(" %")]
    assert numbers[0] == "0 %" and numbers[-1] == f"≥ {100 * measure_attention_range(weights()):.2g} %" == "≥ 2 %"


def test_figure_contains_the_map_with_the_pixel_marked():
    image, values = gray(500, 640), weights()
    sheet = draw_attention_figure(image, values, (120, 80), "title")
    panel = draw_attention(image, values, (120, 80))
    x, y = cv2.minMaxLoc(cv2.matchTemplate(sheet, panel, cv2.TM_SQDIFF))[2]
    assert np.array_equal(sheet[y : y + 500, x : x + 640], panel)
    bar = sheet[y : y + 500, x + 640 :].astype(int).sum(2)
    column = bar[:, np.flatnonzero(bar[250] < 3 * 255)[2]]
    assert column[10] > column[250] > column[490]  # yellow above, black below


def test_enlarged_figure_marks_the_same_place():
    values = np.full((30, 60), 0.5, np.float32)
    marked, other = (draw_attention_figure(gray(30, 60), values, point, "") for point in ((50, 20), (10, 5)))
    assert marked.shape == other.shape and not np.array_equal(marked, other)
    sheet_h, sheet_w = marked.shape[:2]
    assert (marked != other).any(2)[sheet_h // 2 :, sheet_w // 2 :].any()  # the lower right one is marked there


@pytest.mark.parametrize("h, w", [(1, 1), (1, 300), (700, 40), (100, 5000)])
def test_figures_of_any_size(h, w):
    sheet = draw_attention_figure(gray(h, w), np.zeros((h, w), np.float32), (w - 1, h - 1), "天空 " * 30)
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3 and min(sheet.shape[:2]) > 14


def test_figure_refuses_a_pixel_outside():
    with pytest.raises(ValueError, match="0 <= x < 90"):
        draw_attention_figure(gray(60, 90), np.zeros((60, 90)), (90, 0), "")
