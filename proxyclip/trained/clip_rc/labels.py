"""Labels as the losses of CLIP-RC want them: of which classes, under which numbers, and what is guessed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..labels import UNLABELLED

SETTINGS = ("inductive", "transductive", "fully")


def check_setting(setting: str) -> None:
    """Refuse an unknown setting."""
    if setting not in SETTINGS:
        raise ValueError(f"Expected setting to be one of {', '.join(SETTINGS)}, but got {setting!r}")


def table(setting: str, seen: Sequence[int], ignore: int) -> Tensor:
    """What becomes of each label 0..255: (256,) int64.

    "inductive": seen classes are numbered as they follow each other; "transductive": they keep their number. All other
    classes are -1, unlabelled; `ignore` stays. "fully": everything stays.
    """
    if setting == "fully":
        return torch.arange(256)
    found = torch.full((256,), UNLABELLED)
    known = torch.as_tensor(seen)
    found[known] = torch.arange(len(known)) if setting == "inductive" else known
    found[ignore] = ignore
    return found


def look_up(labels: Tensor, numbers: Tensor) -> Tensor:
    """Labels (N, H, W) through a table; -1, unlabelled, stays."""
    numbers = numbers.to(labels.device)
    return torch.where(labels == UNLABELLED, UNLABELLED, numbers[labels.clamp(min=0)])


def guess(labels: Tensor, logits: Tensor, unseen: Sequence[int]) -> Tensor:
    """Labels (N, H, W) whose unlabelled pixels get the best unseen class of logits (N, C, H, W)."""
    ids = torch.as_tensor(unseen, device=labels.device)
    return torch.where(labels == UNLABELLED, ids[logits[:, ids].argmax(1)], labels)


def learnt(
    labels: Tensor, logits: Tensor, setting: str, seen: Sequence[int], unseen: Sequence[int], ignore: int
) -> Tensor:
    """The labels (N, H, W) that a step learns from, numbered as its logits (N, C, H, W) are, or `ignore`."""
    labels = look_up(labels, table(setting, seen, ignore))
    if setting == "transductive":
        labels = guess(labels, logits, unseen)
    return torch.where(labels == UNLABELLED, ignore, labels)
