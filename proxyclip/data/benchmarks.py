"""Benchmark data sets under their published names.

`PascalVOCDataset`, `ADE20KDataset`, `CityscapesDataset` and `COCOStuffDataset` have MMSegmentation's classes, palettes
and defaults and take the place of its registrations, so that published configs get the same checks.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmseg import datasets as mm
from mmseg.registry import DATASETS

from proxyclip.data.base_dataset import BenchmarkDataset
from proxyclip.data.splits import COCO_STUFF_UNSEEN, CONTEXT_UNSEEN, TINYWORLD_UNSEEN, VOC_UNSEEN
from proxyclip.data.vocabulary import list_class_names, read_vocabulary
from proxyclip.tinyworld.dataset import VOC_RECORD, write_voc
from proxyclip.tinyworld.scenes import CLASSES, PALETTE
from proxyclip.utils.paths import path_exists
from proxyclip.visualization.palette import class_colors

MIN_BACKGROUND_NAMES = 4  # a first class of so many names is a background, so that 0 means it

_NAMES = json.loads(Path(__file__).with_name("classes.json").read_text(encoding="utf-8"))
_VOC, _CONTEXT, _STUFF = mm.PascalVOCDataset.METAINFO, mm.PascalContextDataset.METAINFO, mm.COCOStuffDataset.METAINFO


class _VOC2012(BenchmarkDataset):
    source = "The data are VOCtrainval_11-May-2012.tar of host.robots.ox.ac.uk/pascal/VOC/voc2012, unpacked."
    counts: ClassVar[dict] = {"val": 1449, "train": 1464, "trainval": 2913, "trainaug": 10582}
    unseen_classes = VOC_UNSEEN


@DATASETS.register_module(force=True)
class PascalVOCDataset(_VOC2012):
    """PASCAL VOC 2012, 20 classes and background; 255 is the contour."""

    METAINFO = _VOC


@DATASETS.register_module()
class PascalVOC20Dataset(_VOC2012):
    """PASCAL VOC 2012 without background: raw 0 and 255 are ignored."""

    METAINFO: ClassVar[dict] = {"classes": _VOC["classes"][1:], "palette": _VOC["palette"][1:]}
    defaults: ClassVar[dict] = {"reduce_zero_label": True}


class _Context(BenchmarkDataset):
    source = (
        "The images are VOCtrainval_03-May-2010.tar of host.robots.ox.ac.uk/pascal/VOC/voc2010; the label maps and "
        "the list are made from PASCAL-Context's trainval_merged.json by datasets/prepare_context.py."
    )
    counts: ClassVar[dict] = {"val": 5104, "train": 4996}
    marks: tuple[int, ...] | None = ()
    without_labels = frozenset({"2010_001606"})  # in the nominal list of 5105, not in the annotations


@DATASETS.register_module()
class PascalContext60Dataset(_Context):
    """PASCAL Context, 59 classes and background; nothing is ignored."""

    METAINFO = _CONTEXT
    unseen_classes = CONTEXT_UNSEEN


@DATASETS.register_module()
class PascalContext59Dataset(_Context):
    """PASCAL Context without background: raw 0 is ignored."""

    METAINFO: ClassVar[dict] = {"classes": _CONTEXT["classes"][1:], "palette": _CONTEXT["palette"][1:]}
    defaults: ClassVar[dict] = {"reduce_zero_label": True}
    unseen_classes = CONTEXT_UNSEEN


@DATASETS.register_module()
class PascalContext459Dataset(_Context):
    """PASCAL Context, all 459 classes, 16-bit labels; "unknown" (430) is a class too."""

    METAINFO: ClassVar[dict] = {"classes": tuple(_NAMES["context459"]), "palette": class_colors(459).tolist()}
    defaults: ClassVar[dict] = {"seg_map_suffix": ".tif", "ignore_index": 65535}
    counts: ClassVar[dict] = {"val": 5104}
    marks = None
    source = (
        "The images are VOCtrainval_03-May-2010.tar; the label maps are made from PASCAL-Context's trainval.tar.gz by "
        "datasets/prepare_context459.py."
    )


@DATASETS.register_module(force=True)
class ADE20KDataset(BenchmarkDataset):
    """ADE20K, 150 classes; raw 0 (other) is ignored."""

    METAINFO = mm.ADE20KDataset.METAINFO
    defaults: ClassVar[dict] = {"reduce_zero_label": True}
    counts: ClassVar[dict] = {"validation": 2000, "training": 20210}
    marks = ()
    source = (
        "The data are ADEChallengeData2016.zip of data.csail.mit.edu/places/ADEchallenge, unpacked; the full ADE20K "
        "download is another data set."
    )


@DATASETS.register_module()
class ADE20K847Dataset(BenchmarkDataset):
    """ADE20K, 847 classes, 16-bit labels; 65535 is ignored."""

    METAINFO: ClassVar[dict] = {"classes": tuple(_NAMES["ade20k847"]), "palette": class_colors(847).tolist()}
    defaults: ClassVar[dict] = {"seg_map_suffix": ".tif", "ignore_index": 65535}
    counts: ClassVar[dict] = {"validation": 2000}
    source = (
        "The data are made from ADE20K_2021_17_01 (on request, groups.csail.mit.edu/vision/datasets/ADE20K) by "
        "datasets/prepare_ade847.py."
    )


@DATASETS.register_module(force=True)
class CityscapesDataset(BenchmarkDataset):
    """Cityscapes, 19 classes, labels in train ids."""

    METAINFO = mm.CityscapesDataset.METAINFO
    defaults: ClassVar[dict] = {"img_suffix": "_leftImg8bit.png", "seg_map_suffix": "_gtFine_labelTrainIds.png"}
    counts: ClassVar[dict] = {"val": 500, "train": 2975}
    source = (
        "The data are leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip of cityscapes-dataset.com "
        "(registration); datasets/prepare_cityscapes.py writes the *_labelTrainIds.png."
    )


@DATASETS.register_module(force=True)
class COCOStuffDataset(BenchmarkDataset):
    """COCO-Stuff164k, 171 classes; 255 is unlabelled."""

    METAINFO = _STUFF
    defaults: ClassVar[dict] = {"seg_map_suffix": "_labelTrainIds.png"}
    counts: ClassVar[dict] = {"val2017": 5000, "train2017": 118287}
    unseen_classes = COCO_STUFF_UNSEEN
    source = (
        "The data are val2017.zip of images.cocodataset.org and stuffthingmaps_trainval2017.zip; "
        "datasets/prepare_coco_stuff164k.py writes the *_labelTrainIds.png."
    )


@DATASETS.register_module()
class COCOStuff10kDataset(BenchmarkDataset):
    """COCO-Stuff10k, 171 classes; raw 0 (unlabelled) is ignored."""

    METAINFO = _STUFF
    defaults: ClassVar[dict] = {"seg_map_suffix": "_labelTrainIds.png", "reduce_zero_label": True}
    counts: ClassVar[dict] = {"test2014": 1000, "train2014": 9000}
    marks = ()
    source = "The data are cocostuff-10k-v1.1.zip, converted by datasets/prepare_coco_stuff10k.py."


@DATASETS.register_module()
class COCOObjectDataset(BenchmarkDataset):
    """COCO, 80 things and background (stuff and unlabelled pixels); nothing is ignored."""

    METAINFO: ClassVar[dict] = {
        "classes": ("background", *_STUFF["classes"][:80]),
        "palette": [[0, 0, 0], *_STUFF["palette"][:80]],
    }
    defaults: ClassVar[dict] = {"seg_map_suffix": "_instanceTrainIds.png"}
    counts: ClassVar[dict] = {"val2017": 5000, "train2017": 118287}
    marks = ()
    source = "The label maps are made from COCO-Stuff164k by datasets/prepare_coco_object.py."


@DATASETS.register_module()
class FolderDataset(BenchmarkDataset):
    """Images and label maps of two folders, and a file with one class a line.

    Args:
        data_root: holds `images` and `masks` (other names: `data_prefix`) and the file of classes.
        classes: the file, or the names themselves; of synonyms between semicolons the first names the class. Class k
            is value k of the masks, with `reduce_zero_label` value k + 1.

    Raises:
        FileNotFoundError: there is no such file.
    """

    defaults: ClassVar[dict] = {"data_prefix": dict(img_path="images", seg_map_path="masks")}
    has_known_labels = False
    source = "The folder needs `images`, `masks` and `classes.txt`."

    def __init__(self, data_root: str, classes: str | Sequence[str] = "classes.txt", **kwargs: Any) -> None:
        if isinstance(classes, str):
            file = Path(data_root).expanduser() / classes
            if not path_exists(file) or not file.is_file():
                message = f"There is no file of classes {file}: expected one class a line, in label order"
                raise FileNotFoundError(message)
            synonyms = read_vocabulary(file).classes
            self.has_known_labels = len(synonyms[0]) >= MIN_BACKGROUND_NAMES
            classes = [names[0] for names in synonyms]
        else:
            classes = list_class_names(classes, "the data set's list of classes")
        metainfo = kwargs.pop("metainfo", None) or {}
        if "classes" not in metainfo:
            metainfo = {"classes": tuple(classes), "palette": class_colors(len(classes)).tolist(), **metainfo}
        super().__init__(data_root=data_root, metainfo=metainfo, **kwargs)


@DATASETS.register_module()
class TinyWorldDataset(BenchmarkDataset):
    """Drawn scenes in Pascal VOC's layout, written into `data_root` where missing.

    Args:
        data_root: of these scenes alone: a training set and a test set have a folder each.
        count, seed: number of scenes, and their seed.
    """

    METAINFO: ClassVar[dict] = {"classes": CLASSES, "palette": [list(c) for c in PALETTE]}
    defaults: ClassVar[dict] = {"img_suffix": ".png"}
    unseen_classes = TINYWORLD_UNSEEN
    generated = True
    marks = ()

    def __init__(self, data_root: str, count: int = 500, seed: int = 1, **kwargs: Any) -> None:
        root = Path(data_root).expanduser()
        if not (root / VOC_RECORD).is_file():
            print(f"Drawing {count} scenes of the tiny world once, into {root}", file=sys.stderr, flush=True)
        write_voc(root, count, seed)
        self.count = count
        super().__init__(data_root=str(root), **kwargs)

    @property
    def expected_images(self) -> int:
        """Requested number of scenes."""
        return self.count
