"""Resizing of learned position tables, as DINO's code does it.

Caron et al., "Emerging Properties in Self-Supervised Vision Transformers" (arXiv 2104.14294) resize with bicubic
interpolation *by scale factor*, computed from (cells + 0.1), without antialiasing. timm resizes by size with
antialiasing; at any other than the native size the features then differ by several percent.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_positions(
    table: Tensor, native: tuple[int, int], grid: tuple[int, int], offset: float = 0.1, antialias: bool = False
) -> Tensor:
    """Resize the patch rows of a position table to another grid; prefix rows stay.

    Args:
        table: (prefix + h0 * w0, C).
        native: (h0, w0), the grid the table was learned on.
        grid: (h, w), the wanted grid.
        offset: added to h and w before the scale factor is computed; 0 resizes by size.
        antialias: as in torch.nn.functional.interpolate.

    Returns:
        (prefix + h * w, C), dtype of `table`; `table` itself where the grid is the native one.
    """
    if tuple(grid) == tuple(native):
        return table
    (h0, w0), (h, w) = native, grid
    prefix = table.shape[0] - h0 * w0
    patches = table[prefix:].float().T.reshape(1, -1, h0, w0)
    target: dict = dict(scale_factor=((h + offset) / h0, (w + offset) / w0)) if offset else dict(size=(h, w))
    patches = F.interpolate(patches, mode="bicubic", antialias=antialias, **target)
    if patches.shape[-2:] != (h, w):
        raise RuntimeError(f"Expected a position table of {h}x{w} cells, but got {tuple(patches.shape[-2:])}")
    return torch.cat([table[:prefix], patches[0].flatten(1).T.to(table.dtype)])
