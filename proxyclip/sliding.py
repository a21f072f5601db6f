"""From images to labels through sliding windows: what every segmentor here shares, whatever scores the windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.structures import SegDataSample
from torch import Tensor

from . import windows
from .approximate import Approximate, guides
from .batching import Batcher
from .data.preprocess import MixedSizePreProcessor
from .refine import build_steps, decide

Strips = Callable[[tuple[int, int]], Iterable[Tensor]]  # size (H0, W0) -> score maps (names, rows, W0) from the top


class SlidingSegmentor(BaseSegmentor):
    """Cuts images into windows, lets `extract_feat` score them, stitches the scores and decides the labels.

    Subclasses give `prepare`, `guide`, `extract_feat`, `extract_guided`, `classify` and `label`, and set
    `pad_multiple`. The arguments are those of `ProxyCLIPSegmentation`.

    Raises:
        ValueError: an option out of its range.
    """

    pad_multiple: int

    def __init__(
        self,
        slide: tuple[int, int],
        window_batch: int | str,
        approximate: dict[str, Any] | None,
        refine: Any,
        keep_logits: bool,
        prob_thd: float,
        data_preprocessor: Any,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor or MixedSizePreProcessor())
        self.batches, self.approximate = Batcher(window_batch), Approximate(**(approximate or {}))
        self.slide = (slide[0], self.approximate.stride or slide[1])
        windows.check(*self.slide)
        self.refine, self.keep_logits, self.prob_thd = build_steps(refine), keep_logits, prob_thd

    def prepare(self, device: torch.device) -> None:
        """Finish loading, once, when the device is known."""
        raise NotImplementedError

    def guide(self, inputs: Tensor) -> Tensor | None:
        """What windows (n, 3, h, w) are seen by besides CLIP (n, D, h', w'), or None."""
        raise NotImplementedError

    def extract_guided(self, inputs: Tensor, guide: Tensor | None) -> Tensor:
        """Windows (n, 3, h, w) and their guide -> scores (n, names, h', w') float32."""
        raise NotImplementedError

    def classify(self, scores: Tensor) -> Tensor:
        """Scores of every name (names, H, W) -> class probabilities (classes, H, W)."""
        raise NotImplementedError

    def label(self, scores: Tensor) -> Tensor:
        """Scores of every name (names, H, W) -> labels (H, W) int64, as `classify` and the threshold give them."""
        raise NotImplementedError

    def extract_windows(self, tiles: Sequence[Tensor], guides: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Scores of all windows of several images, each (n, 3, h, w) -> (n, names, h', w') float32.

        Args:
            guides: where they are made already, of each image (n, D, h', w').
        """
        if guides is None:
            return self.batches.run(self.extract_feat, tiles)
        return self.batches.run(self.extract_guided, tiles, guides)

    def decide(self, strips: Iterable[Tensor], image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Score maps in strips -> labels (H0, W0) int64, and class probabilities (classes, H0, W0) or None."""
        return decide(strips, self.classify, self.label, image, self.refine, self.prob_thd, self.keep_logits)

    def score(self, inputs: Tensor | Sequence[Tensor]) -> Iterator[Strips]:
        """Images (3, H, W) -> for each a function: size (H0, W0) -> its score maps in strips (names, rows, W0).

        Windows of all images share forwards; score maps are made one image at a time, when they are asked for.
        """
        grids = [windows.plan(tuple(x.shape[1:]), *self.slide, self.pad_multiple) for x in inputs]
        tiles = [windows.cut(x, *grid) for x, grid in zip(inputs, grids, strict=True)]
        once = self.approximate.vfm == "image"
        scored = self.extract_windows(tiles, guides(self.guide, inputs, grids, self.pad_multiple) if once else None)
        for grid, scores in zip(grids, scored, strict=True):
            yield partial(windows.stitch, scores, *grid)

    def encode_decode(self, inputs: Tensor | Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> Iterator[tuple]:
        """Images (3, H, W) and the sizes of their labels -> for each what `decide` gives."""
        for image, size, strips in zip(inputs, sizes, self.score(inputs), strict=True):
            yield self.decide(strips(size), image)

    @torch.no_grad()
    def predict(self, inputs: Tensor | list[Tensor], data_samples: list[SegDataSample] | None = None) -> Any:
        """CLIP-normalised (B, 3, H, W) or list of (3, H, W) -> samples with `pred_sem_seg`; without samples labels."""
        self.prepare(inputs[0].device)
        sizes = [x.shape[1:] for x in inputs] if data_samples is None else [s.ori_shape[:2] for s in data_samples]
        found = self.encode_decode(inputs, [tuple(size) for size in sizes])
        if data_samples is None:
            maps = [labels for labels, _ in found]
            return torch.stack(maps) if isinstance(inputs, Tensor) else maps
        for sample, (labels, probabilities) in zip(data_samples, found, strict=True):
            sample.pred_sem_seg = PixelData(data=labels[None])
            if probabilities is not None:
                sample.seg_logits = PixelData(data=probabilities)
        return data_samples

    def loss(self, *_: Any) -> dict:
        """There is none."""
        raise NotImplementedError(f"{type(self).__name__} is training-free: it has no loss")

    def _forward(self, inputs: Tensor, *_: Any) -> Any:
        return self.predict(inputs)
