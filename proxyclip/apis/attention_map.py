"""Proxy-attention map of one pixel, resampled to the image."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from proxyclip.models.sliding.approximate import interpolate_window_features
from proxyclip.models.sliding.windows import WindowAxis, cut_tiles, plan_windows


def compute_attention_map(model: Any, inputs: Tensor, size: tuple[int, int], x: int, y: int) -> np.ndarray:
    """Compute the map that `Segmenter.attention` returns.

    Args:
        inputs: CLIP-normalized (3, h, w).
        size: (H, W) of the image, in which x and y are counted.
    """
    if not (0 <= x < size[1] and 0 <= y < size[0]):
        raise ValueError(f"Expected a pixel inside the picture of {size[1]} x {size[0]}, but got {x}, {y}")
    weights = getattr(model.attention, "weights", None)
    if weights is None or model.vfm is None:
        raise ValueError(
            "Expected a method with proxy attention, a map that follows from the VFM alone (--method proxy), but "
            f"got {type(model).__name__} with {model.attention!r}"
        )
    crop, stride = model.slide
    rows, columns = plan_windows(tuple(inputs.shape[1:]), crop, stride, model.pad_multiple)
    i, top = _nearest(rows, size[0], y)
    j, left = _nearest(columns, size[1], x)
    number = i * len(columns.starts) + j
    if model.approximate.vfm == "image":
        guide = interpolate_window_features(model.guide, [inputs], [(rows, columns)], model.pad_multiple)[0][
            number, None
        ]
    else:
        guide = model.guide(cut_tiles(inputs, rows, columns)[number, None])
    h, w = guide.shape[2:]
    row_cells = _cells(rows, top, h, size[0])
    column_cells = _cells(columns, left, w, size[1])
    row = weights(guide)[0, row_cells[y] * w + column_cells[x]].reshape(h, w).float().cpu().numpy()
    attention_map = np.full(size, np.nan, np.float32)
    inside = np.ix_(row_cells >= 0, column_cells >= 0)
    attention_map[inside] = row[np.ix_(row_cells[row_cells >= 0], column_cells[column_cells >= 0])]
    return attention_map


def _pixel_centers(axis: WindowAxis, pixels: int) -> np.ndarray:
    """Pixel centers of the image in coordinates of the resized image, along one axis."""
    return (np.arange(pixels) + 0.5) * axis.length / pixels


def _nearest(axis: WindowAxis, pixels: int, pixel: int) -> tuple[int, int]:
    """Number and start of the window with the nearest center that has a pixel."""
    position = float(_pixel_centers(axis, pixels)[pixel])
    candidates = [(i, start) for i, start in enumerate(axis.starts) if start <= position < start + axis.tile]
    return min(candidates, key=lambda pair: abs(pair[1] + axis.tile / 2 - position))


def _cells(axis: WindowAxis, start: int, cells: int, pixels: int) -> np.ndarray:
    """Window cell of each pixel of the image along one axis, -1 outside the window."""
    positions = _pixel_centers(axis, pixels) - start
    indices = ((positions + axis.before) * cells / axis.padded).astype(int)
    return np.where((positions >= 0) & (positions < axis.tile), indices, -1)
