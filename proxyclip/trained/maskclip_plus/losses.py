"""The losses of MaskCLIP+ (arXiv 2112.01071), in the paper's form and in the published code's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..labels import UNLABELLED


def cross_entropy(logits: Tensor, labels: Tensor, ignore: int, parity: str) -> Tensor:
    """Mean cross-entropy of logits (N, C, H, W) at labels (N, H, W); 0 where every pixel is ignored.

    The mean is over scored pixels; "upstream" divides by all pixels, ignored ones included.
    """
    total = F.cross_entropy(logits, labels, ignore_index=ignore, reduction="sum")
    return total / (labels.numel() if parity == "upstream" else (labels != ignore).sum().clamp(min=1))


@torch.no_grad()
def accuracy(logits: Tensor, labels: Tensor, ignore: int, parity: str) -> Tensor:
    """Percent of pixels (as `cross_entropy` counts them) whose best class is the label."""
    right = (logits.argmax(1) == labels) & (labels != ignore)
    return 100 * right.sum() / (labels.numel() if parity == "upstream" else (labels != ignore).sum().clamp(min=1))


def distillation(dense: Tensor, teacher: Tensor, labels: Tensor, ignore: int, labelled: bool, parity: str) -> Tensor:
    """Mean absolute difference between student features and unit teacher features.

    Args:
        dense: student features F (N, D, h, w); "upstream" takes no gradient from them, so that the term trains nothing.
        teacher: (N, D, h', w').
        labels: (N, H, W), to whose size both are resized bilinearly.
        labelled: over all pixels that are not ignored, instead of over unlabelled ones (-1).
    """
    size = labels.shape[1:]
    chosen = labels != ignore if labelled else labels == UNLABELLED
    if not chosen.any():
        return dense.sum() * 0
    mine = F.interpolate(dense.detach() if parity == "upstream" else dense, size=size, mode="bilinear")
    theirs = F.interpolate(F.normalize(teacher, dim=1), size=size, mode="bilinear")
    return (mine - theirs).abs().mean(1)[chosen].mean()
