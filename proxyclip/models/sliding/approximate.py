"""Shortcuts that change numbers: off by default, and recorded with every run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from proxyclip.models.sliding.windows import WindowAxis, cut_tiles, plan_windows

VFM_SCOPES = ("window", "image")


@dataclass(frozen=True)
class ApproximateOptions:
    """Options of shortcuts that change numbers.

    Args:
        vfm: "window", or "image": the VFM sees the whole image once, and every window gets its part of that map.
        stride: pixels between windows instead of the protocol's `slide_stride`; None leaves it.

    Raises:
        ValueError: another value of `vfm`.
    """

    vfm: str = "window"
    stride: int | None = None

    def __post_init__(self) -> None:
        if self.vfm not in VFM_SCOPES:
            raise ValueError(f"Expected approximate.vfm to be one of {', '.join(VFM_SCOPES)}, but got {self.vfm!r}")

    @property
    def names(self) -> list[str]:
        """The shortcuts taken, for the record: `vfm=image`, `stride=224`."""
        return ["vfm=image"] * (self.vfm == "image") + [f"stride={self.stride}"] * (self.stride is not None)


def interpolate_window_features(
    vfm: Callable[[Tensor], Tensor | None],
    images: Tensor | Sequence[Tensor],
    grids: Sequence[tuple[WindowAxis, WindowAxis]],
    multiple: int,
) -> list[Tensor]:
    """Interpolate the features of windows from one feature map of the image.

    Args:
        vfm: tiles (1, 3, h, w), sides a multiple of `multiple` -> features (1, D, h', w').
        images: (3, H, W) each. grids: the windows of each, of `plan_windows`.

    Returns:
        (windows, D, h'', w'') an image, cells as large as those of the map.
    """
    out = []
    for image, (rows, columns) in zip(images, grids, strict=True):
        whole = plan_windows(tuple(image.shape[1:]), 0, 0, multiple)
        features = cast(Tensor, vfm(cut_tiles(image, *whole)))[0]
        down = _window_cell_weights(rows, whole[0], features.shape[1]).to(features)
        across = _window_cell_weights(columns, whole[1], features.shape[2]).to(features)
        out.append(torch.einsum("iym,dmn,jxn->ijdyx", down, features, across).flatten(0, 1))
    return out


def _window_cell_weights(axis: WindowAxis, whole: WindowAxis, cells: int) -> Tensor:
    """Linear weights of window cells over image cells: (windows, window cells, cells)."""
    side = whole.padded / cells
    centers = (torch.arange(round(axis.padded / side)) + 0.5) * side - axis.before
    positions = (torch.tensor(axis.starts)[:, None] + centers + whole.before) / side - 0.5
    return (1 - (positions.clamp(0, cells - 1)[..., None] - torch.arange(cells)).abs()).clamp(min=0)
