"""Losses and pseudo labels of MaskCLIP+ (arXiv 2112.01071), in the forms of the paper and of the published code."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from proxyclip.data.transforms import UNLABELED


def mean_cross_entropy(logits: Tensor, labels: Tensor, ignore: int, parity: str) -> Tensor:
    """Compute the mean cross-entropy of logits (N, C, H, W) at labels (N, H, W); 0 where every pixel is ignored.

    The mean is over scored pixels; "upstream" divides by all pixels, ignored ones included.
    """
    return F.cross_entropy(logits, labels, ignore_index=ignore, reduction="sum") / _count_pixels(labels, ignore, parity)


@torch.no_grad()
def pixel_accuracy(logits: Tensor, labels: Tensor, ignore: int, parity: str) -> Tensor:
    """Compute the percentage of pixels, counted as in `mean_cross_entropy`, whose best class is the label."""
    correct = (logits.argmax(1) == labels) & (labels != ignore)
    return 100 * correct.sum() / _count_pixels(labels, ignore, parity)


def _count_pixels(labels: Tensor, ignore: int, parity: str) -> Tensor | int:
    return labels.numel() if parity == "upstream" else (labels != ignore).sum().clamp(min=1)


def distillation_loss(
    dense: Tensor, teacher: Tensor, labels: Tensor, ignore: int, labelled: bool, parity: str
) -> Tensor:
    """Compute the mean absolute difference between student features and unit teacher features.

    Args:
        dense: student features F (N, D, h, w); "upstream" takes no gradient from them, so that the term trains nothing.
        teacher: (N, D, h', w').
        labels: (N, H, W), to whose size both are resized bilinearly.
        labelled: over all pixels that are not ignored, instead of over unlabeled ones (-1).
    """
    size = labels.shape[1:]
    chosen = labels != ignore if labelled else labels == UNLABELED
    if not chosen.any():
        return dense.sum() * 0
    student_features = F.interpolate(dense.detach() if parity == "upstream" else dense, size=size, mode="bilinear")
    teacher_features = F.interpolate(F.normalize(teacher, dim=1), size=size, mode="bilinear")
    return (student_features - teacher_features).abs().mean(1)[chosen].mean()


def fill_pseudo_labels(
    labels: Tensor, scores: Tensor, ids: Sequence[int], threshold: float = 0.0, parity: str = "paper"
) -> Tensor:
    """Fill every unlabeled pixel with the class of the best score.

    Args:
        labels: (N, H, W) int64, -1 where unlabeled.
        scores: (N, U, h, w), of the classes `ids`; resized bilinearly.
        threshold: pixels whose best score is below it stay unlabeled; 0 keeps all. It is on the scale of the scores:
            cosines, or smoothed probabilities.
        parity: "upstream": pixels whose label is known lose it too where the best score is below the threshold.

    Returns:
        (N, H, W) int64, a new tensor.
    """
    class_ids = torch.as_tensor(ids, device=labels.device)
    size = labels.shape[1:]
    filled = []
    for label, score in zip(labels, scores, strict=True):  # one after the other: (U, H, W) is large
        best, index = F.interpolate(score[None].float(), size=size, mode="bilinear")[0].max(0)
        unlabeled = label == UNLABELED
        result = torch.where(unlabeled, class_ids[index], label)
        if threshold > 0:
            weak = best < threshold
            result[weak if parity == "upstream" else weak & unlabeled] = UNLABELED
        filled.append(result)
    return torch.stack(filled)
