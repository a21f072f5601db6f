"""Losses of CLIP-RC (focal, dice, recovery) and labels of each training setting.

Each class has a sigmoid of its own. Focal loss: Lin et al. (arXiv 1708.02002); it and dice are divided by the number of
classes present, as in ZegCLIP (arXiv 2212.03588).
"""

from collections.abc import Sequence

import torch
from mmengine.dist import all_reduce
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from proxyclip.data.transforms import UNLABELED

TRAINING_SETTINGS = ("inductive", "transductive", "fully")
FOCAL_ALPHA = 0.25
FOCAL_GAMMA = 2.0


def focal_and_dice_loss(logits: Tensor, labels: Tensor, ignore: int, parity: str) -> tuple[Tensor, Tensor]:
    """Compute focal and dice loss of logits (N, C, H, W) and labels (N, H, W): ids below C, or `ignore`.

        focal = 1/Z sum_n sum_c mean over pixels of a (1 - p_t)^2 BCE
        dice  = 1/Z sum_n sum_{c present in n} 1 - (2 sum pY + 1) / (sum p + sum Y + 1)

    Z is the number of (image, class) pairs with a pixel, at least 1, averaged over the processes.

    Args:
        parity: in "upstream" an ignored pixel is a negative one of every class; in "paper" it is left out of all sums.
    """
    pairs = torch.zeros((), device=logits.device)
    terms = []
    for scores, label in zip(logits.float(), labels, strict=True):
        valid = label != ignore
        present = label[valid].unique()
        pairs += len(present)
        if parity == "paper":
            scores = scores[:, valid]
            label = label[valid]
        scores = scores.flatten(1)
        label = label.flatten()
        target = (label == torch.arange(len(scores), device=label.device)[:, None]).float()
        terms.append((_focal(scores, target), _dice(scores[present], target[present])))
    all_reduce(pairs, "mean")
    focal, dice = (sum(part) / pairs.clamp(min=1) for part in zip(*terms, strict=True))
    return focal, dice


def _focal(scores: Tensor, target: Tensor) -> Tensor:
    """Compute the focal loss of one image from logits and targets (C, pixels): mean over pixels, sum over classes."""
    if not scores.numel():
        return scores.sum()
    return sigmoid_focal_loss(scores, target, FOCAL_ALPHA, FOCAL_GAMMA).mean(1).sum()


def _dice(scores: Tensor, target: Tensor) -> Tensor:
    """Compute the dice loss of one image, summed over its present classes, from logits and targets (P, pixels)."""
    p = scores.sigmoid()
    return (1 - (2 * (p * target).sum(1) + 1) / (p.sum(1) + target.sum(1) + 1)).sum()


def recovery_l1_loss(recovered: Tensor, original: Tensor) -> Tensor:
    """Compute the mean absolute difference to the original features, which get no gradient."""
    return (recovered.float() - original.detach().float()).abs().mean()


def build_label_table(setting: str, seen: Sequence[int], ignore: int) -> Tensor:
    """Map each label 0..255 to its id in training: (256,) int64.

    "inductive": seen classes are numbered as they follow each other; "transductive": they keep their number. All other
    classes are -1, unlabeled; `ignore` stays. "fully": everything stays.
    """
    if setting == "fully":
        return torch.arange(256)
    table = torch.full((256,), UNLABELED)
    seen_ids = torch.as_tensor(seen)
    table[seen_ids] = torch.arange(len(seen_ids)) if setting == "inductive" else seen_ids
    table[ignore] = ignore
    return table


def build_training_labels(
    labels: Tensor, logits: Tensor, setting: str, seen: Sequence[int], unseen: Sequence[int], ignore: int
) -> Tensor:
    """Map labels (N, H, W) to the channels of logits (N, C, H, W), or `ignore`.

    In the transductive setting unlabeled pixels get their best unseen class.
    """
    table = build_label_table(setting, seen, ignore).to(labels.device)
    labels = torch.where(labels == UNLABELED, UNLABELED, table[labels.clamp(min=0)])
    if setting == "transductive":
        ids = torch.as_tensor(unseen, device=labels.device)
        labels = torch.where(labels == UNLABELED, ids[logits[:, ids].argmax(1)], labels)
    return torch.where(labels == UNLABELED, ignore, labels)
