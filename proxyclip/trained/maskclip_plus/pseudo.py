"""Pseudo labels: unlabelled pixels get the best class of given scores."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..labels import UNLABELLED


def fill(labels: Tensor, scores: Tensor, ids: Sequence[int], threshold: float = 0.0, parity: str = "paper") -> Tensor:
    """Labels with a guess at every unlabelled pixel.

    Args:
        labels: (N, H, W) int64, -1 where unlabelled.
        scores: (N, U, h, w), of the classes `ids`; resized bilinearly.
        threshold: pixels whose best score is below it stay unlabelled; 0 keeps all. It is on the scale of the scores:
            cosines, or smoothed probabilities.
        parity: "upstream": pixels whose label is known lose it too where the best score is below the threshold.

    Returns:
        (N, H, W) int64, a new tensor.
    """
    known, size = torch.as_tensor(ids, device=labels.device), labels.shape[1:]
    filled = []
    for label, score in zip(labels, scores, strict=True):  # one after the other: (U, H, W) is large
        best, guess = F.interpolate(score[None].float(), size=size, mode="bilinear")[0].max(0)
        open_ = label == UNLABELLED
        result = torch.where(open_, known[guess], label)
        if threshold > 0:
            weak = best < threshold
            result[weak if parity == "upstream" else weak & open_] = UNLABELLED
        filled.append(result)
    return torch.stack(filled)
