"""Where a patch looks: one row of proxy attention, drawn back onto the picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from torch import Tensor

from .. import windows
from ..approximate import guides
from ..windows import Axis


def of_pixel(model: Any, inputs: Tensor, size: tuple[int, int], x: int, y: int) -> np.ndarray:
    """See `Segmenter.attention`.

    Args:
        inputs: CLIP-normalised (3, h, w). size: (H, W) of the picture, in which x and y are counted.
    """
    if not (0 <= x < size[1] and 0 <= y < size[0]):
        raise ValueError(f"Expected a pixel inside the picture of {size[1]} x {size[0]}, but got {x}, {y}")
    weights = getattr(model.attention, "weights", None)
    if weights is None or model.vfm is None:
        raise ValueError(
            "Expected a method with proxy attention, a map that follows from the VFM alone (--method proxy), but "
            f"got {type(model).__name__} with {model.attention!r}"
        )
    h, w = inputs.shape[1], inputs.shape[2]
    crop, stride = model.slide
    rows, columns = windows.plan((h, w), crop, stride, model.pad_multiple)
    v, u = _to(y, size[0], h), _to(x, size[1], w)
    (i, top), (j, left) = _nearest(rows, v), _nearest(columns, u)
    number = i * len(columns.starts) + j
    if model.approximate.vfm == "image":
        guide = guides(model.guide, [inputs], [(rows, columns)], model.pad_multiple)[0][number, None]
    else:
        guide = model.guide(windows.cut(inputs, rows, columns)[number, None])
    grid = guide.shape[2:]
    cell = [
        int((at - start + axis.before) * cells / axis.padded)
        for at, start, axis, cells in zip((v, u), (top, left), (rows, columns), grid, strict=True)
    ]
    row = weights(guide)[0, cell[0] * grid[1] + cell[1]].reshape(grid).float().cpu().numpy()
    return _place(row, (rows, columns), (top, left), (h, w), size)


def _to(place: int, of: int, to: int) -> float:
    """Middle of a pixel on another scale."""
    return (place + 0.5) * to / of


def _nearest(axis: Axis, place: float) -> tuple[int, int]:
    """Number and start of the window whose middle is nearest among those that hold a pixel."""
    held = [(i, s) for i, s in enumerate(axis.starts) if s <= place < s + axis.tile]
    return min(held, key=lambda pair: abs(pair[1] + axis.tile / 2 - place))


def _place(
    row: np.ndarray, axes: tuple[Axis, Axis], at: tuple[int, int], whole: tuple[int, int], size: tuple[int, int]
) -> np.ndarray:
    """Weights of a window's cells on the pixels of the picture, NaN outside the window."""
    rows, columns = axes
    tile = cv2.resize(row, (columns.padded, rows.padded), interpolation=cv2.INTER_NEAREST_EXACT)
    tile = tile[rows.before : rows.before + rows.tile, columns.before : columns.before + columns.tile]
    canvas = np.full(whole, np.nan, np.float32)
    canvas[at[0] : at[0] + rows.tile, at[1] : at[1] + columns.tile] = tile
    return cv2.resize(canvas, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
