"""The head of MaskCLIP+: a decode module without classifier, and text features as the classifier."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn


class TextHead(BaseModule):
    """logit_c(i) = <F_i, T_c>: features are not normalised, rows of T are unit and fixed; no bias, no temperature.

    Args:
        decoder: backbone features -> F (N, D, h, w).
        channels: D.
        background: a learnt vector of unit length as class 0, before the classes of the text.
        unit_features: make F unit, too.
    """

    def __init__(
        self, decoder: nn.Module, channels: int, background: bool = False, unit_features: bool = False
    ) -> None:
        super().__init__()
        self.decoder, self.unit_features = decoder, unit_features
        self.background = nn.Parameter(torch.randn(channels)) if background else None

    def matrix(self, text: Tensor) -> Tensor:
        """Unit rows of all classes (classes, D): the background, where there is one, and those of `text`."""
        if self.background is None:
            return text
        return torch.cat([F.normalize(self.background, dim=0)[None], text])

    def forward(self, features: Any) -> Tensor:
        """Backbone features -> F (N, D, h, w)."""
        return self.decoder(features)

    def classify(self, dense: Tensor, text: Tensor, weights: Tensor | None = None) -> Tensor:
        """F (N, D, h, w) -> logits (N, classes, h, w) float32, in float32 under autocast too.

        Args:
            text: unit rows (C, D).
            weights: factors of the classes of `text` (N, C); the background keeps its logit.
        """
        with torch.autocast(dense.device.type, enabled=False):
            dense = F.normalize(dense.float(), dim=1) if self.unit_features else dense.float()
            logits = torch.einsum("ndhw,cd->nchw", dense, self.matrix(text))
            if weights is None:
                return logits
            first = logits.shape[1] - weights.shape[1]
            return torch.cat([logits[:, :first], logits[:, first:] * weights[..., None, None]], 1)
