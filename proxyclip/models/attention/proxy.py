"""Proxy attention: patches are mixed by the similarity of VFM features.

Lan et al., "ProxyCLIP: Proxy Attention Improves CLIP for Open-Vocabulary Segmentation" (arXiv 2408.04883).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from proxyclip.models.layers.block import Grid, project_values, resize_tokens


@dataclass(frozen=True)
class Proxy:
    """Softmax of gamma (S - beta mean(S)) where that is not negative.

    S is the cosine similarity of VFM patch features, its mean taken per window. There is no residual connection and no
    MLP.

    Args:
        beta: multiple of the mean similarity that is subtracted (adaptive normalization).
        gamma: scale of the difference, the inverse temperature of the softmax.
    """

    beta: float = 1.2
    gamma: float = 3.0
    method: ClassVar[str] = "proxy"
    guided: ClassVar[bool] = True

    def __call__(self, block: Any, x: Tensor, grid: Grid, guide: Tensor | None) -> tuple[Tensor, Grid]:
        if guide is None:
            raise ValueError("Expected VFM features as guide of proxy attention, but got None: set vfm_model")
        to = (guide.shape[2], guide.shape[3])
        values = resize_tokens(project_values(block, x), grid, to)
        return self.weights(guide).to(values.dtype) @ values, to

    def weights(self, guide: Tensor) -> Tensor:
        """Attention map of each window: (B, D, H, W) -> (B, H*W, H*W) float32."""
        return self.scores(guide).softmax(dim=-1)

    def scores(self, guide: Tensor) -> Tensor:
        """Compute attention logits gamma (S - beta mean(S)), negative entries -inf."""
        features = F.normalize(guide.float().flatten(2), dim=1)
        similarity = features.mT @ features
        mean = similarity.mean(dim=(1, 2), keepdim=True)
        scores = similarity.sub_(mean * self.beta).mul_(self.gamma)
        masked = scores < 0
        # On a uniform window beta * mean can pass 1: a patch always attends to itself, so no row is empty.
        masked.diagonal(dim1=1, dim2=2).fill_(False)
        return scores.masked_fill_(masked, -float("inf"))
