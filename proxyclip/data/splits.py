"""Generalized zero-shot splits, and the means over seen and unseen classes.

Training has labels of the seen classes only; the evaluation is one, over all classes together. The splits are those
of SPNet (Xian et al., CVPR 2019) for PASCAL VOC and COCO-Stuff, and of ZS3Net (arXiv 1906.00817) for PASCAL Context.
"""

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
# A quarter of the classes, things and a material as in COCO-Stuff. Each thing has the colors of a seen one (tree and
# grass, boat and car, rocket and mushroom, duck and house), so that a model that uses color alone fails.
TINYWORLD_UNSEEN = ("tree", "boat", "rocket", "duck", "sand")
CUSTOM_SPLIT_HINT = "metainfo=dict(unseen=[...]) of the data set, with class names or ids, sets a split of your own"


def resolve_unseen_ids(unseen: Any, classes: Sequence[str]) -> tuple[int, ...]:
    """Convert unseen classes, ids or names or both, to ascending ids.

    Args:
        unseen: at least one of `classes` and not all of them.
        classes: the names in label order, as labels are after zero-label reduction.

    Raises:
        ValueError: none or all are unseen, one is there twice, or is no class.
    """
    if isinstance(unseen, str) or not isinstance(unseen, (Sequence, set, frozenset, np.ndarray)):
        raise _split_error(f"Expected `unseen` to be a list of class names or ids, but got {unseen!r}")
    ids = [_class_id(unseen_class, classes) for unseen_class in unseen]
    repeated = sorted({classes[class_id] for class_id in ids if ids.count(class_id) > 1})
    if repeated:
        raise _split_error(f"Expected each unseen class once, but {', '.join(repeated)} is there more than once")
    if not 0 < len(ids) < len(classes):
        expected = f"between 1 and {len(classes) - 1} unseen classes of {len(classes)}"
        raise _split_error(f"Expected {expected}, but got {len(ids)}")
    return tuple(sorted(ids))


def compute_zero_shot_means(iou: np.ndarray, unseen: Sequence[int]) -> dict[str, float]:
    """Compute mIoU_seen S, mIoU_unseen U and hIoU = 2SU / (S + U), units of `iou`.

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


def _class_id(unseen_class: Any, classes: Sequence[str]) -> int:
    if isinstance(unseen_class, str):
        if unseen_class in classes:
            return list(classes).index(unseen_class)
        hint = did_you_mean(unseen_class, classes)
        advice = f"{hint} {CUSTOM_SPLIT_HINT}" if hint else CUSTOM_SPLIT_HINT
        raise ValueError(f"The unseen class {unseen_class!r} is none of the {len(classes)} classes: {advice}")
    is_number = isinstance(unseen_class, (int, np.integer)) and not isinstance(unseen_class, bool)
    if not is_number or not 0 <= unseen_class < len(classes):
        raise _split_error(f"Expected ids of unseen classes 0..{len(classes) - 1}, or names, but got {unseen_class!r}")
    return int(unseen_class)


def _split_error(text: str) -> ValueError:
    return ValueError(f"{text}; {CUSTOM_SPLIT_HINT}")


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
