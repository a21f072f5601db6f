"""Sliding windows as pure tensor functions.

An image (3, H, W) is cut into tiles on a regular grid of windows; each tile yields scores on a coarse grid of cells.
Upsampling a tile to pixels, averaging where windows overlap, and resizing to the original size are all linear and
separable (the overlap count is a product of a row count and a column count), so the result is

    out = sum over windows (i, j) of  Ry[i] @ scores[i, j] @ Rx[j].T

with small matrices R of shape (out, cells). No map of window or image size is ever made, and any chunk of output
rows can be computed alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

ROW_CHUNK_ELEMENTS = {"cpu": 2**20, "cuda": 2**25}  # elements of a score chunk: fits a cache, or fills a GPU


def check_window_size(crop: int, stride: int) -> None:
    """Raise ValueError for windows that leave pixels out; crop 0 is the whole image."""
    if crop < 0 or (crop > 0 and not 0 < stride <= crop):
        raise ValueError(f"Expected slide_crop=0 or 0 < slide_stride <= slide_crop, but got {stride} and {crop}")


def compute_window_starts(length: int, crop: int, stride: int) -> list[int]:
    """Compute first pixels of windows along one axis; the last is shifted inward."""
    count = max(length - crop + stride - 1, 0) // stride + 1
    return [max(min(i * stride, length - crop), 0) for i in range(count)]


@dataclass(frozen=True)
class WindowAxis:
    """Windows along one axis of `length` pixels: tiles, zero-padded to `padded`."""

    length: int
    tile: int
    starts: tuple[int, ...]
    padded: int
    direct: bool  # cells of the whole image become output pixels in one interpolation

    @property
    def before(self) -> int:
        """Zeros before the tile; the rest of the padding comes after it."""
        return (self.padded - self.tile) // 2

    def matrices(self, cells: int, out: int) -> Tensor:
        """Build the matrices from cell scores of a window to output pixels.

        (windows, out, cells) float32, for `cells` cells of a (padded) tile and `out` pixels of the output.
        """
        if self.direct and self.padded == self.tile:
            return _interpolation_matrix(cells, out)[None].float()
        upsample = _interpolation_matrix(cells, self.padded)[self.before : self.before + self.tile]
        count = torch.zeros(self.length, dtype=torch.float64)
        for s in self.starts:
            count[s : s + self.tile] += 1
        resize = _interpolation_matrix(self.length, out) / count
        return torch.stack([resize[:, s : s + self.tile] @ upsample for s in self.starts]).float()


@lru_cache(maxsize=32)
def _cached_matrices(axis: WindowAxis, cells: int, out: int, device: torch.device) -> Tensor:
    """Matrices kept on the device, since a copy would wait for it."""
    return axis.matrices(cells, out).to(device)


def _interpolation_matrix(size: int, out: int) -> Tensor:
    """Matrix (out, size) of linear interpolation with align_corners=False, float64."""
    if size == out:
        return torch.eye(size, dtype=torch.float64)
    return F.interpolate(torch.eye(size, dtype=torch.float64)[None], size=out, mode="linear")[0].T


def plan_windows(
    size: Sequence[int], crop: int, stride: int, multiple: int, upsample_to_input: bool = False, min_tile: int = 1
) -> tuple[WindowAxis, WindowAxis]:
    """Plan the windows of an image of `size` (h, w): (vertical, horizontal).

    Args:
        crop: side of the window in pixels; 0 takes the whole image as one window.
        stride: step between windows in pixels.
        multiple: tiles are zero-padded, centered, to a multiple of this.
        upsample_to_input: with crop 0, cells become pixels of the image first and of the output then, as windows do.
        min_tile: tiles are padded to at least this.
    """
    direct = not crop and not upsample_to_input
    h, w = (_plan_axis(n, crop, stride, multiple, min_tile, direct) for n in size)
    return h, w


def _plan_axis(length: int, crop: int, stride: int, multiple: int, min_tile: int, direct: bool) -> WindowAxis:
    tile = min(crop, length) if crop else length
    starts = tuple(compute_window_starts(length, crop, stride)) if crop else (0,)
    return WindowAxis(length, tile, starts, max(-(-tile // multiple) * multiple, min_tile), direct)


def cut_tiles(image: Tensor, rows: WindowAxis, columns: WindowAxis) -> Tensor:
    """Cut an image (3, H, W) into tiles (n, 3, h, w), row by row, padded with zeros."""
    tiles = [image[:, y : y + rows.tile, x : x + columns.tile] for y in rows.starts for x in columns.starts]
    bottom = rows.padded - rows.tile - rows.before
    right = columns.padded - columns.tile - columns.before
    return F.pad(torch.stack(tiles), (columns.before, right, rows.before, bottom))


def stitch_tiles(
    scores: Tensor, rows: WindowAxis, columns: WindowAxis, size: tuple[int, int], budget: int | None = None
) -> Iterator[Tensor]:
    """Combine the scores of an image's windows into its score map.

    Args:
        scores: (n, names, h, w) float32, the windows in the order of `cut_tiles`.
        size: (H0, W0) of the output.
        budget: maximum number of elements of a chunk (at least one row is made); default `ROW_CHUNK_ELEMENTS`.

    Yields:
        Row chunks from the top, (names, rows, W0) float32.
    """
    _, names, h, w = scores.shape
    ry = _cached_matrices(rows, h, size[0], scores.device)
    rx = _cached_matrices(columns, w, size[1], scores.device)
    grid = scores.reshape(len(ry), len(rx), names, h, w).permute(2, 1, 4, 0, 3)  # names, j, w, i, h
    grid = grid.reshape(names, len(rx) * w, len(ry) * h)
    down = ry.permute(1, 0, 2).reshape(size[0], -1)  # H0, (i, h)
    across = rx.permute(0, 2, 1).reshape(-1, size[1])  # (j, w), W0
    budget = budget or ROW_CHUNK_ELEMENTS.get(scores.device.type, ROW_CHUNK_ELEMENTS["cuda"])
    step = max(budget // (names * size[1]), 1)
    for top in range(0, size[0], step):
        yield down[top : top + step] @ grid.mT @ across
