"""Where a patch looks: one row of proxy attention, drawn back onto the picture."""

from __future__ import annotations

from typing import Any

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
    crop, stride = model.slide
    rows, columns = windows.plan(tuple(inputs.shape[1:]), crop, stride, model.pad_multiple)
    (i, top), (j, left) = _nearest(rows, size[0], y), _nearest(columns, size[1], x)
    number = i * len(columns.starts) + j
    if model.approximate.vfm == "image":
        guide = guides(model.guide, [inputs], [(rows, columns)], model.pad_multiple)[0][number, None]
    else:
        guide = model.guide(windows.cut(inputs, rows, columns)[number, None])
    h, w = guide.shape[2:]
    down, across = _cells(rows, top, h, size[0]), _cells(columns, left, w, size[1])
    row = weights(guide)[0, down[y] * w + across[x]].reshape(h, w).float().cpu().numpy()
    found = np.full(size, np.nan, np.float32)
    inside = np.ix_(down >= 0, across >= 0)
    found[inside] = row[np.ix_(down[down >= 0], across[across >= 0])]
    return found


def _middles(axis: Axis, pixels: int) -> np.ndarray:
    """Where the middles of a picture's pixels are along an axis of the resized picture."""
    return (np.arange(pixels) + 0.5) * axis.length / pixels


def _nearest(axis: Axis, pixels: int, pixel: int) -> tuple[int, int]:
    """Number and start of the window whose middle is nearest among those that hold a pixel."""
    place = float(_middles(axis, pixels)[pixel])
    held = [(i, s) for i, s in enumerate(axis.starts) if s <= place < s + axis.tile]
    return min(held, key=lambda pair: abs(pair[1] + axis.tile / 2 - place))


def _cells(axis: Axis, start: int, cells: int, pixels: int) -> np.ndarray:
    """The cell of a window that each pixel of the picture belongs to along an axis, -1 outside the window."""
    places = _middles(axis, pixels) - start
    found = ((places + axis.before) * cells / axis.padded).astype(int)
    return np.where((places >= 0) & (places < axis.tile), found, -1)
