"""Draw label maps, attention and probabilities at the image's size.

Drawings are (H, W, 3) uint8 RGB.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from proxyclip.visualization.palette import hex_to_rgb
from proxyclip.visualization.text import find_font, measure_text, place_region_labels, printable_text

DARK_LINE_COLOR = (16, 21, 28)
LIGHT_LINE_COLOR = (255, 255, 255)
HATCH_COLORS = ("#8a8f98", "#c3c7cd")
_PLACING_SIDE = 512  # longest side in pixels of the copy on which names are placed
_LINE_HEIGHT = 1.6  # in sizes of the letters, halo and stacked accents included


def draw_overlay(
    image: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    colors: np.ndarray,
    alpha: float = 0.6,
    with_names: bool = True,
) -> np.ndarray:
    """Draw classes over an image, with outlines, and names on the larger regions.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) class indices; pixels of no class are darkened.
        names: of the K classes.
        colors: (K, 3) uint8 RGB.
        alpha: 0 shows the image, 1 the colors only; the larger it is, the grayer is the image below them.
        with_names: a name is left out if it does not fit on its region.

    Raises:
        ValueError: shapes that do not go together, or an alpha outside of 0 to 1.
    """
    _check_shapes(image, labels)
    if len(names) != len(colors) or not 0 <= alpha <= 1:
        raise ValueError(
            f"Expected a color for each name and an alpha from 0 to 1, but got {len(names)} names, "
            f"{len(colors)} colors and alpha {alpha}"
        )
    known = (labels >= 0) & (labels < len(colors))
    colors = np.vstack([colors, [0, 0, 0]]).astype(np.uint8)
    indices = np.where(known, labels, len(names)).astype(np.intp)
    below = cv2.addWeighted(np.ascontiguousarray(image), 1 - alpha, _to_gray(image), alpha, 0)  # keeps colors true
    drawn = cv2.addWeighted(below, 1 - alpha, colors[indices], alpha, 0)
    if not known.all():
        drawn[~known] = image[~known] // 3
    _draw_outlines(drawn, indices, colors)
    return _draw_region_labels(drawn, indices, known, names) if with_names else drawn


def draw_label_layer(
    indices: np.ndarray, known: np.ndarray, colors: Sequence[str], opacity: Sequence[int]
) -> Image.Image:
    """Draw a translucent palette image, to lay over a photograph in a browser.

    Args:
        indices: (H, W) of `colors`.
        known: (H, W) mask; the other pixels are hatched.
        colors: `#rrggbb`, at most 254.
        opacity: of each color, 0 to 255.
    """
    h, w = indices.shape
    y, x = np.ogrid[:h, :w]
    hatching = len(colors) + (x + y) // max(3, max(h, w) // 70) % 2
    layer = Image.fromarray(np.where(known, indices, hatching).astype(np.uint8))
    layer.putpalette(hex_to_rgb([*colors, *HATCH_COLORS]).tobytes())
    layer.info["transparency"] = bytes([*opacity, 255, 255])
    return layer


def draw_attention(image: np.ndarray, values: np.ndarray, point: tuple[int, int]) -> np.ndarray:
    """Draw an attention map from black over red to yellow, over the gray image.

    The brightest color is what one pixel of 200 of the window exceeds, so that a single peak does not hide the rest.

    Args:
        image: (H, W, 3) uint8 RGB.
        values: (H, W), not negative; NaN outside of the window, which is framed.
        point: (x, y) in pixels of the place that attends, marked with a cross.

    Raises:
        ValueError: shapes that do not go together, or a point outside of the image.
    """
    _check_shapes(image, values)
    (h, w), (x, y) = values.shape, point
    if not (0 <= x < w and 0 <= y < h):
        raise ValueError(f"Expected a point inside of the image, 0 <= x < {w} and 0 <= y < {h}, but got ({x}, {y})")
    left, top, box_w, box_h = _find_window(values)
    inside = np.s_[top : top + box_h, left : left + box_w]
    gray = _to_gray(image)
    drawn = cv2.addWeighted(gray, 0.4, np.full_like(gray, 255), 0.25, 0)
    drawn[inside] = color_attention(gray[inside], values[inside] / measure_attention_range(values))
    frame, line = (max(1, round(np.sqrt(h * w) / part)) for part in (400, 220))
    sheet = Image.fromarray(drawn)
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((left, top, left + box_w - 1, top + box_h - 1), outline=LIGHT_LINE_COLOR, width=frame)
    for color, width, margin in ((DARK_LINE_COLOR, 3 * line, line), (LIGHT_LINE_COLOR, line, 0)):
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            ends = [(x + dx * r, y + dy * r) for r in (2 * line - margin, 6 * line + 4 + margin)]
            draw.line(ends, fill=color, width=width)
    return np.array(sheet)


def measure_attention_range(values: np.ndarray) -> float:
    """Measure the value of the brightest color; 1 for a map of zeros."""
    left, top, box_w, box_h = _find_window(values)
    window = np.asarray(values[top : top + box_h, left : left + box_w], np.float32)
    return float(np.percentile(window, 99.5)) or float(window.max()) or 1.0


def color_attention(gray: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Color a gray image (H, W, 3) uint8 by values (H, W) from 0 to 1."""
    return cv2.addWeighted(gray, 0.4, _apply_colormap(values, cv2.COLORMAP_INFERNO), 0.7, 0)


def draw_probability(values: np.ndarray) -> np.ndarray:
    """Draw (H, W) probabilities from 0, dark blue, over green to 1, yellow."""
    if values.ndim != 2:
        raise ValueError(f"Expected probabilities of shape (H, W), but got {values.shape}")
    return _apply_colormap(values, cv2.COLORMAP_VIRIDIS)


def _find_window(values: np.ndarray) -> tuple[int, int, int, int]:
    """Find the box (left, top, width, height) of finite values; all without any."""
    finite = np.isfinite(values)
    left, top, width, height = cv2.boundingRect((finite | ~finite.any()).astype(np.uint8))
    return left, top, width, height


def _check_shapes(image: np.ndarray, values: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.shape[:2] != values.shape:
        raise ValueError(
            f"Expected an image (H, W, 3) uint8 and an (H, W) array of its size, but got {image.shape} {image.dtype} "
            f"and {values.shape}"
        )


def _to_gray(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def _draw_outlines(drawn: np.ndarray, labels: np.ndarray, colors: np.ndarray) -> None:
    """Draw lines between classes in place, light or dark to contrast with both."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] = labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    y, x = np.nonzero(edge)
    below = np.minimum(y + 1, len(labels) - 1)
    right = np.minimum(x + 1, labels.shape[1] - 1)
    brightness = colors @ np.array([0.299, 0.587, 0.114])
    around = np.stack([brightness[labels[at]] for at in ((y, x), (below, x), (y, right))])
    bright = around.min(0) + around.max(0) > 240
    kernel = np.ones((max(1, round(np.sqrt(labels.size) / 500)),) * 2, np.uint8)
    for color, chosen in ((DARK_LINE_COLOR, bright), (LIGHT_LINE_COLOR, ~bright)):
        line = np.zeros(labels.shape, np.uint8)
        line[y[chosen], x[chosen]] = 1
        drawn[cv2.dilate(line, kernel) > 0] = color


def _draw_region_labels(drawn: np.ndarray, labels: np.ndarray, known: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Draw names in light letters with a dark halo, placed on a reduced copy."""
    h, w = labels.shape
    step = -(-max(h, w) // _PLACING_SIDE)
    size = max(11, round(0.036 * np.sqrt(h * w)))
    halo = max(1, round(size / 9))
    placed = place_region_labels(
        labels[::step, ::step],
        known[::step, ::step],
        {i: printable_text(name) for i, name in enumerate(names)},
        _LINE_HEIGHT * size / step + 1,  # the pixels of the copy are coarse
        lambda name: (measure_text(name, size, bold=True) + 2 * halo) / step + 3,
    )
    sheet = Image.fromarray(drawn)
    draw = ImageDraw.Draw(sheet)
    for label in placed:
        font = find_font(label.text, size, bold=True)
        x0, y0, x1, y1 = draw.textbbox((0, 0), label.text, font, "ls", stroke_width=halo)
        x = round((label.x + 0.5) * step - (x0 + x1) / 2)
        y = round((label.y - 0.35 * label.size + 0.5) * step - (y0 + y1) / 2)
        draw.text((x, y), label.text, LIGHT_LINE_COLOR, font, "ls", stroke_width=halo, stroke_fill=DARK_LINE_COLOR)
    return np.array(sheet)


def _apply_colormap(values: np.ndarray, colormap: int) -> np.ndarray:
    """Color values from 0 to 1 by one of OpenCV's color maps."""
    levels = np.round(255 * np.clip(np.nan_to_num(values), 0, 1)).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels, colormap)[..., ::-1])
