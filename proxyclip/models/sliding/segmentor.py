"""Base class of training-free segmentors that slide windows over an image."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from proxyclip.models.base_segmentor import OpenVocabSegmentor, RowChunkFunction
from proxyclip.models.preprocessor import MixedSizePreProcessor
from proxyclip.models.sliding.approximate import ApproximateOptions, interpolate_window_features
from proxyclip.models.sliding.batching import WindowBatcher
from proxyclip.models.sliding.windows import WindowAxis, check_window_size, cut_tiles, plan_windows, stitch_tiles


class SlidingSegmentor(OpenVocabSegmentor):
    """Cut images into windows, score them by `extract_feat`, and stitch the scores.

    Subclasses implement `guide`, `extract_feat` and `extract_guided`, and set the attributes below. The arguments are
    those of `ProxyCLIPSegmentation`.

    Raises:
        ValueError: an option out of its range.
    """

    pad_multiple: int
    upsample_to_input: bool
    patch: int  # pixels that a tile has at least
    patch_multiple: int  # pixels of which a tile of the whole image for a VFM is a multiple

    def __init__(
        self,
        slide: tuple[int, int],
        window_batch: int | str,
        approximate: dict[str, Any] | None,
        data_preprocessor: Any,
        **options: Any,
    ) -> None:
        super().__init__(data_preprocessor or MixedSizePreProcessor(), **options)
        self.batches = WindowBatcher(window_batch)
        self.approximate = ApproximateOptions(**(approximate or {}))
        self.slide = (slide[0], self.approximate.stride or slide[1])
        check_window_size(*self.slide)

    def guide(self, inputs: Tensor) -> Tensor | None:
        """Compute VFM features (n, D, h', w') of windows (n, 3, h, w), or None."""
        raise NotImplementedError

    def extract_guided(self, inputs: Tensor, guide: Tensor | None) -> Tensor:
        """Score windows (n, 3, h, w) by VFM features -> (n, names, h', w') float32."""
        raise NotImplementedError

    def extract_windows(self, tiles: Sequence[Tensor], guides: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Score the windows of several images, (n, 3, h, w) -> (n, names, h', w').

        Args:
            guides: VFM features of each image (n, D, h', w'), if they are computed already.
        """
        if guides is None:
            return self.batches.run(self.extract_feat, tiles)
        return self.batches.run(self.extract_guided, tiles, guides)

    def plan(self, size: Sequence[int]) -> tuple[WindowAxis, WindowAxis]:
        """Plan the windows of an image of `size` (h, w): (vertical, horizontal)."""
        return plan_windows(size, *self.slide, self.pad_multiple, self.upsample_to_input, self.patch)

    def interpolate_guides(
        self, inputs: Tensor | Sequence[Tensor], grids: Sequence[tuple[WindowAxis, WindowAxis]]
    ) -> list[Tensor]:
        """Interpolate VFM features of windows from one map an image: (windows, D, h', w') each."""
        return interpolate_window_features(self.guide, inputs, grids, self.patch_multiple)

    def score(
        self, inputs: Tensor | Sequence[Tensor], samples: Sequence[SegDataSample] | None = None
    ) -> Iterator[RowChunkFunction]:
        grids = [self.plan(x.shape[1:]) for x in inputs]
        tiles = [cut_tiles(x, *grid) for x, grid in zip(inputs, grids, strict=True)]
        guides = None
        if self.approximate.vfm == "image":
            guides = self.interpolate_guides(inputs, grids)
        for grid, scores in zip(grids, self.extract_windows(tiles, guides), strict=True):
            yield partial(stitch_tiles, scores, *grid)

    @torch.no_grad()
    def predict(self, inputs: Tensor | list[Tensor], data_samples: list[SegDataSample] | None = None) -> Any:
        self.prepare(inputs[0].device)
        return super().predict(inputs, data_samples)
