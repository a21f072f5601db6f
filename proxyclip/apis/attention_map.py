"""Proxy-attention map of one pixel, resampled to the image."""

from typing import Any

import numpy as np
from torch import Tensor

from proxyclip.apis.images import check_pixel
from proxyclip.models.sliding.windows import WindowAxis, cut_tiles


def compute_attention_map(model: Any, inputs: Tensor, size: tuple[int, int], x: int, y: int) -> np.ndarray:
    """Compute the map that `Segmenter.attention` returns.

    Args:
        inputs: CLIP-normalized (3, h, w).
        size: (H, W) of the image, in which x and y are counted.
    """
    check_pixel(x, y, size)
    weights = getattr(model.attention, "weights", None)
    if weights is None or model.vfm is None:
        raise ValueError(
            "Expected a method with proxy attention, a map that follows from the VFM alone (--method proxy), but "
            f"got {type(model).__name__} with {model.attention!r}"
        )
    rows, columns = model.plan(inputs.shape[1:])
    i, top = _nearest_window(rows, size[0], y)
    j, left = _nearest_window(columns, size[1], x)
    window = i * len(columns.starts) + j
    if model.approximate.vfm == "image":
        guide = model.interpolate_guides([inputs], [(rows, columns)])[0][window, None]
    else:
        guide = model.guide(cut_tiles(inputs, rows, columns)[window, None])
    h, w = guide.shape[2:]
    row_cells = _window_cells(rows, top, h, size[0])
    column_cells = _window_cells(columns, left, w, size[1])
    attention = weights(guide)[0, row_cells[y] * w + column_cells[x]].reshape(h, w).float().cpu().numpy()
    inside = (row_cells >= 0)[:, None] & (column_cells >= 0)
    return np.where(inside, attention[np.ix_(row_cells, column_cells)], np.float32(np.nan))


def _nearest_window(axis: WindowAxis, pixels: int, pixel: int) -> tuple[int, int]:
    """Index and start of the window with the nearest center that has a pixel."""
    position = (pixel + 0.5) * axis.length / pixels
    candidates = [(i, start) for i, start in enumerate(axis.starts) if start <= position < start + axis.tile]
    return min(candidates, key=lambda pair: abs(pair[1] + axis.tile / 2 - position))


def _window_cells(axis: WindowAxis, start: int, cells: int, pixels: int) -> np.ndarray:
    """Window cell of each pixel of the image along one axis, -1 outside the window."""
    positions = (np.arange(pixels) + 0.5) * axis.length / pixels - start
    indices = ((positions + axis.before) * cells / axis.padded).astype(int)
    return np.where((positions >= 0) & (positions < axis.tile), indices, -1)
