"""Generalised zero-shot splits: which classes a model is not shown labels of, and the means over both parts.

Training sees labels of the seen classes only; the evaluation is one, over all classes together. The splits are those
of SPNet (Xian et al., CVPR 2019) for PASCAL VOC and COCO-Stuff, and of ZS3Net (arXiv 1906.00817) for PASCAL Context.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from proxyclip.utils.suggest import did_you_mean

VOC_UNSEEN = ("pottedplant", "sheep", "sofa", "train", "tvmonitor")
CONTEXT_UNSEEN = (
    "aeroplane", "bird", "boat", "cat", "cow", "fence", "keyboard", "motorbike", "sofa", "tvmonitor",
)  # fmt: skip
COCO_STUFF_UNSEEN = (
    "cow", "giraffe", "suitcase", "frisbee", "skateboard", "carrot", "scissors", "cardboard", "clouds", "grass",
    "playingfield", "river", "road", "tree", "wall-concrete",
)  # fmt: skip
# A quarter of the classes, things and a material as in COCO-Stuff. Each thing has the colours of one that is seen (a
# tree those of grass, a boat those of a car, a rocket those of a mushroom, a duck those of a house), so that a model
# that goes by colour alone fails. All classes are drawn equally often: a thing is in every fifth scene, a material in
# every fourth.
TINYWORLD_UNSEEN = ("tree", "boat", "rocket", "duck", "sand")
CUSTOM_SPLIT_HINT = "metainfo=dict(unseen=[...]) of the data set, with class names or ids, sets a split of your own"


def resolve_unseen_ids(unseen: Any, classes: Sequence[str]) -> tuple[int, ...]:
    """The ids of unseen classes, ascending, from ids or names or both.

    Args:
        unseen: at least one of `classes` and not all of them.
        classes: the names in label order, as labels are after zero-label reduction.

    Raises:
        ValueError: none or all are unseen, one is there twice, or is no class.
    """
    if isinstance(unseen, str) or not isinstance(unseen, (Sequence, set, frozenset, np.ndarray)):
        raise ValueError(
            f"Expected `unseen` to be a list of class names or ids, but got {unseen!r}; {CUSTOM_SPLIT_HINT}"
        )
    ids = [_class_id(one, classes) for one in unseen]
    twice = sorted({classes[one] for one in ids if ids.count(one) > 1})
    if twice:
        raise ValueError(
            f"Expected each unseen class once, but {', '.join(twice)} is there more than once; {CUSTOM_SPLIT_HINT}"
        )
    if not 0 < len(ids) < len(classes):
        raise ValueError(
            f"Expected between 1 and {len(classes) - 1} unseen classes of {len(classes)}, but got {len(ids)}; {CUSTOM_SPLIT_HINT}"
        )
    return tuple(sorted(ids))


def compute_zero_shot_means(iou: np.ndarray, unseen: Sequence[int]) -> dict[str, float]:
    """mIoU_seen S, mIoU_unseen U and hIoU = 2SU / (S + U), on the scale of `iou`.

    Args:
        iou: (classes,) of the joint evaluation; NaN, a class neither labelled nor predicted, is left out of the means.
        unseen: ids; the other classes are seen.

    Returns:
        NaN for the mean of nothing, and for hIoU if one of its parts is NaN; hIoU of two zeros is 0.
    """
    apart = np.isin(np.arange(len(iou)), list(unseen))
    seen, new = (_mean(iou[part]) for part in (~apart, apart))
    harmonic = 2 * seen * new / (seen + new) if seen + new else 0.0
    return {"mIoU_seen": seen, "mIoU_unseen": new, "hIoU": harmonic}


def _class_id(one: Any, classes: Sequence[str]) -> int:
    if isinstance(one, str):
        if one in classes:
            return list(classes).index(one)
        hint = did_you_mean(one, classes)
        advice = f"{hint} {CUSTOM_SPLIT_HINT}" if hint else CUSTOM_SPLIT_HINT
        raise ValueError(f"The unseen class {one!r} is none of the {len(classes)} classes: {advice}")
    if isinstance(one, bool) or not isinstance(one, (int, np.integer)) or not 0 <= one < len(classes):
        raise ValueError(
            f"Expected ids of unseen classes 0..{len(classes) - 1}, or names, but got {one!r}; {CUSTOM_SPLIT_HINT}"
        )
    return int(one)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
