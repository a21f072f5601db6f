"""MaskCLIP with prompt denoising and key smoothing of the scores.

Zhou, Loy and Dai, "Extract Free Dense Labels from CLIP" (arXiv 2112.01071), section 3.2.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from proxyclip.data.templates import maskclip_template
from proxyclip.models.base_segmentor import RowChunkFunction
from proxyclip.models.layers.block import project_keys
from proxyclip.models.preprocessor import MixedSizePreProcessor
from proxyclip.models.segmentors.proxyclip import ProxyCLIPSegmentation

CLIP_LOGIT_SCALE = 100.0  # CLIP's logit scale, fixed in both refinements
REMOVED_SCORE = -100.0  # score of a class that prompt denoising removes
PARITIES = ("paper", "upstream")
IMAGENET_NORMALIZATION: dict[str, Any] = dict(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))


def apply_prompt_denoising(scores: Tensor, threshold: float) -> Tensor:
    """Set scores (B, names, N) of names to -100 whose maximum is below `threshold`.

    The threshold, 0 to 1, is one of probability in the image.
    """
    best = (CLIP_LOGIT_SCALE * scores).softmax(1).amax(2, keepdim=True)
    return scores.masked_fill(best < threshold, REMOVED_SCORE)


def apply_key_smoothing(scores: Tensor, keys: Tensor, threshold: float, parity: str = "paper") -> Tensor:
    """Replace unsure patches by the sum of all, weighted by similarity of keys.

    Args:
        scores: (B, names, N).
        keys: (B, N, C) of the last block after the output projection.
        threshold: patches whose best probability is below it are replaced; 0 replaces none.
        parity: "paper" normalizes each key; "upstream" each channel over the positions, as the published code.

    Returns:
        (B, names, N): the probabilities of sure patches, unnormalized sums for the rest; `scores` where threshold is 0.
    """
    if threshold <= 0:
        return scores
    probabilities = (CLIP_LOGIT_SCALE * scores).softmax(1)
    unit = F.normalize(keys.float(), dim=1 if parity == "upstream" else 2)
    smoothed = (probabilities @ unit) @ unit.mT
    return torch.where(probabilities.amax(1, keepdim=True) < threshold, smoothed, probabilities)


@MODELS.register_module()
class MaskCLIPSegmentation(ProxyCLIPSegmentation):
    """MaskCLIP, by default `attention='maskclip'` of ProxyCLIPSegmentation.

    It has no VFM. With key smoothing the scores are no cosines: labels follow the paper, but `prob_thd` has no meaning
    and synonyms compete by sums; use vocabularies without them.

    Args:
        key_smoothing: threshold, 0 is off; the paper's experiments use 1.0.
        prompt_denoising: threshold, 0 is off; the paper's experiments use 0.5.
        parity: "paper"; or "upstream", what the published code does: keys normalized over positions, the residual
            connection and MLP of the last block kept, erf-GELU and epsilon 1e-6 in the image tower, positions resized
            by size, ImageNet's mean and deviation, five more templates, and the whole image padded at the bottom
            and right and stretched (slide_crop=0).
    """

    method: ClassVar[str] = "maskclip"
    guided: ClassVar[bool] = False

    def __init__(
        self,
        *,
        key_smoothing: float = 0.0,
        prompt_denoising: float = 0.0,
        parity: str = "paper",
        attention: str | dict[str, Any] = "maskclip",
        **options: Any,
    ) -> None:
        if parity not in PARITIES:
            raise ValueError(f"Expected parity of MaskCLIP to be one of {', '.join(PARITIES)}, but got {parity!r}")
        upstream = parity == "upstream"
        if upstream:
            options.setdefault("data_preprocessor", MixedSizePreProcessor(**IMAGENET_NORMALIZATION))
        strategy: dict[str, Any] = {"type": attention} if isinstance(attention, str) else dict(attention)
        if strategy["type"] == "maskclip":
            strategy.setdefault("residual", upstream)
        super().__init__(attention=strategy, **options)
        if upstream and self.slide[0] != 0:
            raise ValueError(f"Expected slide_crop=0 with parity='upstream', but got {self.slide[0]}")
        self.key_smoothing = key_smoothing
        self.prompt_denoising = prompt_denoising
        self.parity = parity
        self.arguments |= dict(key_smoothing=key_smoothing, prompt_denoising=prompt_denoising, parity=parity)
        if upstream:
            self.templates = maskclip_template
            self.clip.position_offset = 0.0
            apply_published_tower_settings(self.clip.model.visual)

    def extract_feat(self, inputs: Tensor) -> Tensor:
        x, grid = self.clip.tokens(inputs.to(self.dtype))
        tokens, grid = self.attention(self.clip.last, x, grid, None)
        scores = self.similarity(self.clip.project(tokens, grid)).flatten(2)
        scores = apply_prompt_denoising(scores, self.prompt_denoising)
        if self.key_smoothing > 0:
            scores = apply_key_smoothing(scores, project_keys(self.clip.last, x), self.key_smoothing, self.parity)
        return scores.unflatten(2, grid)

    def score(
        self, inputs: Tensor | Sequence[Tensor], samples: Sequence[SegDataSample] | None = None
    ) -> Iterator[RowChunkFunction]:
        if self.parity != "upstream":
            yield from super().score(inputs, samples)
            return
        for image in inputs:  # the padded grid is stretched onto the image, not cut
            h, w = image.shape[1:]
            padded = F.pad(image, (0, -w % self.clip.patch, 0, -h % self.clip.patch))
            scores = F.interpolate(self.extract_feat(padded[None]), size=(h, w), mode="bilinear")
            yield partial(F.interpolate, scores, mode="bilinear")


def apply_published_tower_settings(tower: nn.Module) -> None:
    """Set activation and epsilon of an image tower as in the published code."""
    for module in tower.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-6
        elif hasattr(module, "gelu"):
            module.gelu = nn.GELU()
