"""What a label map says in training: a class, "not scored", or "unlabelled", which is to be guessed or left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS
from torch import Tensor

UNLABELLED = -1


@TRANSFORMS.register_module()
class SuppressLabels(BaseTransform):
    """Turns labels of some classes into -1, "unlabelled", so that a training cannot see them.

    Comes after the annotations are loaded; without annotations the whole map is -1. The ignore value stays. Maps become
    int32, in which OpenCV resizes and pads -1 unharmed. Adds `suppressed`, the ids, for `PackSegInputs(meta_keys=...)`.

    Args:
        which: "all" classes (annotation-free training), "unseen" ones of the data set (zero-shot), or their ids.

    Raises:
        ValueError: an unknown word, or a data set without a zero-shot split.
    """

    def __init__(self, which: str | Sequence[int] = "all") -> None:
        if isinstance(which, str) and which not in ("all", "unseen"):
            raise ValueError(f"Expected SuppressLabels(which='all'), 'unseen' or a list of ids, but got {which!r}")
        self.which = which

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """`gt_seg_map` (H, W) with -1 at suppressed classes, int32."""
        ids = self.ids(results)
        labels = results.get("gt_seg_map")
        if labels is None:
            labels = np.full(results["img"].shape[:2], UNLABELLED, np.int32)
            results.setdefault("seg_fields", []).append("gt_seg_map")
        else:
            labels = labels.astype(np.int32)
            labels[np.isin(labels, ids)] = UNLABELLED
        results["gt_seg_map"], results["suppressed"] = labels, tuple(ids)
        return results

    def ids(self, says: dict[str, Any]) -> list[int]:
        """The ids for a sample, or for anything else with `num_classes` and `unseen`."""
        if self.which == "all":
            return list(range(says["num_classes"]))
        if self.which != "unseen":
            return [int(one) for one in self.which]
        if not says.get("unseen"):
            raise ValueError(
                "SuppressLabels('unseen') needs a data set that says which classes are unseen: zero_shot=True"
            )
        return list(says["unseen"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(which={self.which!r})"


def check_hidden(labels: Tensor, ids: Sequence[int]) -> None:
    """Refuse labels that have a class which was to be unlabelled: the training would have seen what it must not.

    Raises:
        ValueError: the message has the ids.
    """
    leaked = torch.isin(labels, torch.as_tensor(ids, device=labels.device))
    if leaked.any():
        found = labels[leaked].unique().tolist()
        raise ValueError(
            f"Labels have classes {found}, which are unlabelled in this training: is SuppressLabels there?"
        )
