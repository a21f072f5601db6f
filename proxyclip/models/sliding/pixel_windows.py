"""Average per-window scores in pixel space (scores are not linear in the grid)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from proxyclip.models.sliding.windows import plan_windows


def average_window_scores(image: Tensor, crop: int, stride: int, score: Callable[[Tensor], Tensor]) -> Tensor:
    """Score an image of any size: per pixel the mean over the windows around it.

    Args:
        image: (3, H, W); a side below `crop` is zero-padded, and the padding is cut off again.
        score: a window (1, 3, crop, crop) -> its scores (1, names, crop, crop) float32.

    Returns:
        (names, H, W) float32.
    """
    h, w = image.shape[1:]
    image = F.pad(image, (0, max(crop - w, 0), 0, max(crop - h, 0)))
    rows, columns = plan_windows(tuple(image.shape[1:]), crop, stride, 1)
    total = None
    counts = torch.zeros(image.shape[1:], device=image.device)
    for y in rows.starts:
        for x in columns.starts:
            window = (..., slice(y, y + crop), slice(x, x + crop))
            scores = score(image[None][window])[0]
            if total is None:
                total = scores.new_zeros(len(scores), *image.shape[1:])
            total[window] += scores
            counts[window] += 1
    assert total is not None  # there is at least one window
    return (total / counts)[:, :h, :w]
