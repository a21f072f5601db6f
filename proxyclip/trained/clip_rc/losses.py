"""The losses of CLIP-RC on logits of classes that do not exclude each other: focal, dice, and recovery.

Focal loss: Lin et al. (arXiv 1708.02002). Both are divided by the number of classes present, as in ZegCLIP
(arXiv 2212.03588).
"""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

ALPHA, GAMMA = 0.25, 2.0


def segmentation(logits: Tensor, labels: Tensor, ignore: int, parity: str) -> tuple[Tensor, Tensor]:
    """Focal and dice loss of logits (N, C, H, W) at labels (N, H, W) with ids below C, or `ignore`.

        focal = 1/Z sum_n sum_c mean over pixels of a (1 - p_t)^2 BCE
        dice  = 1/Z sum_n sum_{c present in n} 1 - (2 sum pY + 1) / (sum p + sum Y + 1)

    Z is the number of (image, class) pairs with a pixel, at least 1, averaged over the processes.

    Args:
        parity: in "upstream" an ignored pixel is a negative one of every class; in "paper" it is left out of all sums.
    """
    pairs, terms = torch.zeros((), device=logits.device), []
    for scores, label in zip(logits.float(), labels, strict=True):
        known = label != ignore
        present = label[known].unique()
        pairs += len(present)
        if parity == "paper":
            scores, label = scores[:, known], label[known]
        scores, label = scores.flatten(1), label.flatten()
        target = (label == torch.arange(len(scores), device=label.device)[:, None]).float()
        terms.append((_focal(scores, target), _dice(scores[present], target[present])))
    all_reduce(pairs, "mean")
    focal, dice = (sum(part) / pairs.clamp(min=1) for part in zip(*terms, strict=True))
    return focal, dice


def _focal(scores: Tensor, target: Tensor) -> Tensor:
    """Of an image, (C, P) both; the mean over pixels, and the sum over classes."""
    if not scores.numel():
        return scores.sum()
    return sigmoid_focal_loss(scores, target, ALPHA, GAMMA).mean(1).sum()


def _dice(scores: Tensor, target: Tensor) -> Tensor:
    """Of an image and its classes, (P_n, pixels) both, summed."""
    p = scores.sigmoid()
    return (1 - (2 * (p * target).sum(1) + 1) / (p.sum(1) + target.sum(1) + 1)).sum()


def recovery(found: Tensor, first: Tensor) -> Tensor:
    """Mean absolute difference to what it was made of, which gets no gradient."""
    return (found.float() - first.detach().float()).abs().mean()
