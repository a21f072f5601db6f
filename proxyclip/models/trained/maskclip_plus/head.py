"""Head of MaskCLIP+: a decode module, and text features as the classifier."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn


class TextHead(BaseModule):
    """Classifier logit_c(i) = <F_i, T_c>, without bias and temperature.

    Features are not normalized, rows of T are unit and fixed.

    Args:
        decoder: backbone features -> F (N, D, h, w).
        channels: D.
        background: a learned vector of unit length as class 0, before the classes of the text.
        unit_features: make F unit, too.
    """

    def __init__(
        self, decoder: nn.Module, channels: int, background: bool = False, unit_features: bool = False
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self.unit_features = unit_features
        self.background = nn.Parameter(torch.randn(channels)) if background else None

    def matrix(self, text: Tensor) -> Tensor:
        """Stack the unit rows of all classes (classes, D), the background's first."""
        if self.background is None:
            return text
        return torch.cat([F.normalize(self.background, dim=0)[None], text])

    def forward(self, features: Any) -> Tensor:
        """Decode backbone features to F (N, D, h, w)."""
        return self.decoder(features)

    def classify(self, dense: Tensor, text: Tensor, weights: Tensor | None = None) -> Tensor:
        """Compute logits (N, classes, h, w) of F (N, D, h, w), always in float32.

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
