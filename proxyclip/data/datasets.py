"""Dataset classes that mmseg 1.2 lacks, under the names published configs use.

Class names and their order are those of the data sets; what a model is asked for stands in configs/cls_*.txt.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmseg.datasets import BaseSegDataset, PascalContextDataset, PascalContextDataset59
from mmseg.registry import DATASETS

from .. import tinyworld

IGNORE_16BIT = 65535


def metainfo(key: str) -> dict[str, tuple]:
    """Classes and palette of a data set in classes.json; a seeded palette of distinct colours where it has none."""
    entry = json.loads(Path(__file__).with_name("classes.json").read_text(encoding="utf-8"))[key]
    classes = tuple(entry["classes"])
    palette = entry["palette"]
    if palette is None:
        codes = np.random.default_rng(0).choice(2**24 - 1, len(classes), replace=False) + 1
        palette = [f"{code:06x}" for code in codes]
    return dict(classes=classes, palette=[list(bytes.fromhex(colour)) for colour in palette])


@DATASETS.register_module()
class PascalVOC20Dataset(BaseSegDataset):
    """PASCAL VOC 2012 without background: 20 classes; raw 0 and 255 are ignored."""

    METAINFO = metainfo("voc20")

    def __init__(self, ann_file: str, reduce_zero_label: bool = True, **kwargs: Any) -> None:
        super().__init__(ann_file=ann_file, reduce_zero_label=reduce_zero_label, **kwargs)


@DATASETS.register_module()
class PascalContext59Dataset(PascalContextDataset59):
    """PASCAL Context without background: 59 classes; raw 0 is ignored."""


@DATASETS.register_module()
class PascalContext60Dataset(PascalContextDataset):
    """PASCAL Context with background as class 0: 60 classes, nothing ignored."""


@DATASETS.register_module()
class PascalContext459Dataset(BaseSegDataset):
    """PASCAL Context with all 459 classes; 16-bit labels, 65535 ignored."""

    METAINFO = metainfo("context459")

    def __init__(self, img_suffix: str = ".jpg", seg_map_suffix: str = ".tif", **kwargs: Any) -> None:
        kwargs.setdefault("ignore_index", IGNORE_16BIT)
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)


@DATASETS.register_module()
class ADE20K847Dataset(BaseSegDataset):
    """ADE20K with its 847 frequent classes; 16-bit labels, 65535 ignored."""

    METAINFO = metainfo("ade20k847")

    def __init__(self, img_suffix: str = ".jpg", seg_map_suffix: str = ".tif", **kwargs: Any) -> None:
        kwargs.setdefault("ignore_index", IGNORE_16BIT)
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)


@DATASETS.register_module()
class COCOObjectDataset(BaseSegDataset):
    """COCO's 80 things and background (stuff and unlabelled pixels): 81 classes, nothing ignored."""

    METAINFO = metainfo("coco_object")

    def __init__(self, img_suffix: str = ".jpg", seg_map_suffix: str = "_instanceTrainIds.png", **kwargs: Any) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)


@DATASETS.register_module()
class TinyWorldDataset(BaseSegDataset):
    """The embedded drawn scenes, in Pascal VOC's layout; drawn into `data_root` first if they are not there.

    Args:
        count, seed: how many scenes, and of which seed.
    """

    METAINFO: ClassVar[dict] = dict(classes=tinyworld.CLASSES, palette=[list(colour) for colour in tinyworld.PALETTE])

    def __init__(self, data_root: str, count: int, seed: int, img_suffix: str = ".png", **kwargs: Any) -> None:
        tinyworld.prepare(data_root, count, seed)
        super().__init__(data_root=data_root, img_suffix=img_suffix, **kwargs)
