"""Figure of an attention map: title, map with the pixel marked, and a scale."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from proxyclip.visualization.figure import (
    FIGURE_BACKGROUND,
    LEGEND_MUTED_COLOR,
    LEGEND_TEXT_COLOR,
    MAX_PANEL_SIDE,
    MIN_PANEL_SIDE,
    resize_to_range,
)
from proxyclip.visualization.overlay import color_attention, draw_attention, measure_attention_range
from proxyclip.visualization.text import find_font, measure_text, wrap_text

_TICKS = 5  # numbers of the scale
_LINE_HEIGHT = 1.35  # in sizes of the letters


def draw_attention_figure(
    image: np.ndarray, values: np.ndarray, point: tuple[int, int], title: str, details: Sequence[str] = ()
) -> np.ndarray:
    """Draw an attention map, its pixel marked, with a title and a scale in percent.

    Small images are enlarged, those with a side above 4096 pixels are reduced. For the first arguments see
    `draw_attention`.

    Args:
        values: weights of a patch's neighbors, which sum to 1 over the patches of its window.
        title: a line in bold.
        details: lines below it: method, models.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    draw_attention(image, values, point)  # refuses what does not fit, in pixels of the image itself
    h, w = image.shape[:2]
    image = resize_to_range(image, MIN_PANEL_SIDE, MAX_PANEL_SIDE)
    values = resize_to_range(values, MIN_PANEL_SIDE, MAX_PANEL_SIDE)
    new_h, new_w = image.shape[:2]
    place = int((point[0] + 0.5) * new_w / w), int((point[1] + 0.5) * new_h / h)
    panel = draw_attention(image, values, place)
    size = max(13.0, new_w / 60, new_h / 70)
    scale = _draw_scale(measure_attention_range(values), new_h, size)
    margin = round(size)
    width = max(new_w + margin + scale.shape[1], round(20 * size))
    frame = "framed: the window that was looked at" if np.isnan(values).any() else "window: the whole image"
    note = f"cross: the pixel at column {point[0]}, row {point[1]}; {frame}"
    lines = [(line, True) for line in wrap_text(title, size, width / 1.1, 2)]
    lines += [(line, False) for text in (*details, note) for line in wrap_text(text, size, width, 2)]
    top_height = round((len(lines) + 0.5) * _LINE_HEIGHT * size)
    sheet = Image.new("RGB", (width + 2 * margin, top_height + new_h + 2 * margin), FIGURE_BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for number, (line, is_bold) in enumerate(lines):
        color = LEGEND_TEXT_COLOR if is_bold else LEGEND_MUTED_COLOR
        place = margin, round(margin + number * _LINE_HEIGHT * size)
        draw.text(place, line, color, find_font(line, size, is_bold))
    sheet.paste(Image.fromarray(panel), (margin, margin + top_height))
    sheet.paste(Image.fromarray(scale), (2 * margin + new_w, margin + top_height))
    return np.array(sheet)


def _draw_scale(top: float, h: int, size: float) -> np.ndarray:
    """Draw the bar of colors from 0 to the brightest value, with numbers."""
    texts = [f"{100 * top * i / (_TICKS - 1):.2g} %" for i in range(_TICKS)]
    texts[-1] = f"≥ {texts[-1]}"
    bar = round(1.2 * size)
    width = bar + round(0.8 * size + max(measure_text(text, size) for text in texts))
    sheet = Image.new("RGB", (width, h), FIGURE_BACKGROUND)
    ramp = np.repeat(np.linspace(1, 0, h, dtype=np.float32)[:, None], bar, 1)
    middle_gray = np.full((h, bar, 3), 128, np.uint8)  # of an image, which shines through the map
    sheet.paste(Image.fromarray(color_attention(middle_gray, ramp)), (0, 0))
    draw = ImageDraw.Draw(sheet)
    count = max(2, min(_TICKS, int(h // (1.5 * size))))
    for i in np.round(np.linspace(0, _TICKS - 1, count)).astype(int):
        y = round((h - 1) * (1 - i / (_TICKS - 1)))
        draw.line((bar, y, bar + round(0.3 * size), y), LEGEND_TEXT_COLOR)
        text_y = min(max(y, 0.6 * size), h - 0.6 * size)
        draw.text((bar + 0.6 * size, text_y), texts[i], LEGEND_TEXT_COLOR, find_font(texts[i], size), anchor="lm")
    return np.array(sheet)
