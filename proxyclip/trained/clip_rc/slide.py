"""Scores of an image of any size from those of its square windows, in pixels and not linear in what is on the grid."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import windows


def slide(image: Tensor, crop: int, stride: int, score: Callable[[Tensor], Tensor]) -> Tensor:
    """The mean, in every pixel, over the windows that have it.

    Args:
        image: (3, H, W); a side below `crop` is filled up with zeros, which are cut off again.
        score: a window (1, 3, crop, crop) -> its scores (1, names, crop, crop) float32.

    Returns:
        (names, H, W) float32.
    """
    h, w = image.shape[1:]
    image = F.pad(image, (0, max(crop - w, 0), 0, max(crop - h, 0)))
    rows, columns = windows.plan(tuple(image.shape[1:]), crop, stride, 1)
    total, times = None, torch.zeros(image.shape[1:], device=image.device)
    for y in rows.starts:
        for x in columns.starts:
            place = (..., slice(y, y + crop), slice(x, x + crop))
            found = score(image[None][place])[0]
            if total is None:
                total = found.new_zeros(len(found), *image.shape[1:])
            total[place] += found
            times[place] += 1
    assert total is not None  # there is at least one window
    return (total / times)[:, :h, :w]
