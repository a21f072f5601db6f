"""The benchmarks under their published names, with errors that say what is missing and how to get it.

`PascalVOCDataset`, `ADE20KDataset`, `CityscapesDataset` and `COCOStuffDataset` have MMSegmentation's classes, palettes
and defaults and take the place of its registrations, so that published configs get the same checks.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmseg import datasets as mm
from mmseg.registry import DATASETS

from .. import tinyworld

_NAMES = json.loads(Path(__file__).with_name("classes.json").read_text(encoding="utf-8"))
_VOC, _CONTEXT, _STUFF = mm.PascalVOCDataset.METAINFO, mm.PascalContextDataset.METAINFO, mm.COCOStuffDataset.METAINFO


def distinct_palette(count: int) -> list[list[int]]:
    """`count` (at most 999) colours, no two alike and none black, the same on every call."""
    levels = np.arange(10) * 28
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)[1:]
    return np.random.default_rng(0).permutation(grid)[:count].tolist()


class BenchmarkDataset(mm.BaseSegDataset):
    """A test set on disk: images, label maps, and perhaps a list of names.

    Subclasses say what is theirs in `METAINFO`, `defaults` (arguments of BaseSegDataset) and `source` (how to get the
    data). `ignore_index` goes into the metainfo and, with `num_classes`, into every sample: loader and metric take it
    from there. `test_mode` is on unless switched off: an unreadable image is an error, never replaced by another one.

    Raises:
        FileNotFoundError: a folder, the list, or files the list names do not exist, or there is no image.
        ValueError: the list has a name twice.
    """

    defaults: ClassVar[dict[str, Any]] = {}
    source: ClassVar[str] = ""
    without_labels: ClassVar[frozenset[str]] = frozenset()  # listed names that the annotations are known to lack

    def __init__(self, ann_file: str = "", data_root: str | None = None, **kwargs: Any) -> None:
        if data_root is not None and str(data_root).startswith("~"):
            data_root = str(Path(data_root).expanduser())
        super().__init__(ann_file, data_root=data_root, **{"test_mode": True, **self.defaults, **kwargs})
        self._metainfo["ignore_index"] = self.ignore_index
        if self.label_map and len(self._metainfo["classes"]) > 255:  # 255 marks classes left out
            raise ValueError(f"Expected at most 255 chosen classes, but got {len(self._metainfo['classes'])}")

    def load_data_list(self) -> list[dict]:
        """The samples, each checked to have its files."""
        if self.backend_args is not None:
            return super().load_data_list()  # not on this file system
        self._check_places()
        found = [info for info in super().load_data_list() if self._wanted(info)]
        if not found:
            place = self.ann_file or self.data_prefix.get("img_path")
            raise self._missing(f"{place} has no image (expected names that end in {self.img_suffix})")
        self._check_files(found)
        return found

    def get_data_info(self, idx: int) -> dict:
        """The sample's files, and what its labels may be."""
        classes = len(self.label_map or self._metainfo.get("classes") or ())
        return {**super().get_data_info(idx), "num_classes": classes or None, "ignore_index": self.ignore_index}

    def prepare_data(self, idx: int) -> Any:
        """The sample through the pipeline.

        Raises:
            RuntimeError: a step failed without saying on which file.
        """
        try:
            return super().prepare_data(idx)
        except Exception as error:
            info = self.get_data_info(idx)
            files = [str(info[key]) for key in ("img_path", "seg_map_path") if key in info]
            if any(name in str(error) for name in files) and not isinstance(error, AssertionError):
                raise
            said = " ".join(str(error).split()) or type(error).__name__
            raise RuntimeError(
                f"Cannot read the image {files[0]} ({said}): get that file again, as a whole JPEG or PNG"
            ) from error

    def _wanted(self, info: dict) -> bool:
        image = Path(info["img_path"])
        if image.name == self.img_suffix:
            return False  # a blank line of the list
        return image.stem not in self.without_labels or Path(info.get("seg_map_path", image)).is_file()

    def _check_places(self) -> None:
        places = {
            "the data folder": self.data_root,
            "the list of images": self.ann_file,
            "the folder of images": self.data_prefix.get("img_path"),
            "the folder of labels": self.data_prefix.get("seg_map_path"),
        }
        for what, place in places.items():
            if place and not Path(place).exists():
                raise self._missing(f"{what} {place} does not exist")

    def _check_files(self, infos: list[dict]) -> None:
        for key, what in (("img_path", "images"), ("seg_map_path", "label maps")):
            paths = [Path(info[key]) for info in infos if key in info]
            folders = {path.parent for path in paths}
            here = {path for folder in folders if folder.is_dir() for path in folder.iterdir()}
            missing = [path for path in paths if path not in here]
            if missing:
                raise self._missing(f"{len(missing)} of {len(paths)} {what} do not exist, the first is {missing[0]}")
        twice = [name for name, times in Counter(info["img_path"] for info in infos).items() if times > 1]
        if twice:
            raise ValueError(f"{self.ann_file} has {len(twice)} names twice, the first is {Path(twice[0]).stem}")

    def _missing(self, problem: str) -> FileNotFoundError:
        return FileNotFoundError(
            f"{type(self).__name__}: {problem}. {self.source} Say where the data are with --data-root DIR or "
            "DATA_ROOT=DIR; README.md shows the folders."
        )


class _VOC2012(BenchmarkDataset):
    source = "The data are VOCtrainval_11-May-2012.tar of host.robots.ox.ac.uk/pascal/VOC/voc2012, unpacked."


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
        "the list are made from PASCAL-Context's trainval_merged.json."
    )
    without_labels = frozenset({"2010_001606"})  # in the nominal list of 5105, not in the annotations


@DATASETS.register_module()
class PascalContext60Dataset(_Context):
    """PASCAL Context, 59 classes and background; nothing is ignored."""

    METAINFO = _CONTEXT


@DATASETS.register_module()
class PascalContext59Dataset(_Context):
    """PASCAL Context without background: raw 0 is ignored."""

    METAINFO: ClassVar[dict] = {"classes": _CONTEXT["classes"][1:], "palette": _CONTEXT["palette"][1:]}
    defaults: ClassVar[dict] = {"reduce_zero_label": True}


@DATASETS.register_module()
class PascalContext459Dataset(_Context):
    """PASCAL Context, all 459 classes, 16-bit labels; "unknown" (430) is a class like any other."""

    METAINFO: ClassVar[dict] = {"classes": tuple(_NAMES["context459"]), "palette": distinct_palette(459)}
    defaults: ClassVar[dict] = {"seg_map_suffix": ".tif", "ignore_index": 65535}
    source = (
        "The images are VOCtrainval_03-May-2010.tar; each label map is the LabelMap of PASCAL-Context's "
        "trainval.tar.gz minus one, as 16-bit TIFF."
    )


@DATASETS.register_module(force=True)
class ADE20KDataset(BenchmarkDataset):
    """ADE20K, 150 classes; raw 0 (other) is ignored."""

    METAINFO = mm.ADE20KDataset.METAINFO
    defaults: ClassVar[dict] = {"reduce_zero_label": True}
    source = (
        "The data are ADEChallengeData2016.zip of data.csail.mit.edu/places/ADEchallenge, unpacked; the full ADE20K "
        "download is another data set."
    )


@DATASETS.register_module()
class ADE20K847Dataset(BenchmarkDataset):
    """ADE20K, 847 classes, 16-bit labels; 65535 is ignored."""

    METAINFO: ClassVar[dict] = {"classes": tuple(_NAMES["ade20k847"]), "palette": distinct_palette(847)}
    defaults: ClassVar[dict] = {"seg_map_suffix": ".tif", "ignore_index": 65535}
    source = (
        "The data are made from ADE20K_2021_17_01 (on request, groups.csail.mit.edu/vision/datasets/ADE20K): the "
        "object ids of *_seg.png mapped to 0..846, all others to 65535."
    )


@DATASETS.register_module(force=True)
class CityscapesDataset(BenchmarkDataset):
    """Cityscapes, 19 classes, labels in train ids."""

    METAINFO = mm.CityscapesDataset.METAINFO
    defaults: ClassVar[dict] = {"img_suffix": "_leftImg8bit.png", "seg_map_suffix": "_gtFine_labelTrainIds.png"}
    source = (
        "The data are leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip of cityscapes-dataset.com "
        "(registration); MMSegmentation's converter cityscapes.py writes the *_labelTrainIds.png."
    )


@DATASETS.register_module(force=True)
class COCOStuffDataset(BenchmarkDataset):
    """COCO-Stuff, 171 classes; the 10k version needs reduce_zero_label=True."""

    METAINFO = _STUFF
    defaults: ClassVar[dict] = {"seg_map_suffix": "_labelTrainIds.png"}
    source = (
        "The data are val2017.zip of images.cocodataset.org and stuffthingmaps_trainval2017.zip; MMSegmentation's "
        "converter coco_stuff164k.py writes the *_labelTrainIds.png."
    )


@DATASETS.register_module()
class COCOObjectDataset(BenchmarkDataset):
    """COCO, 80 things and background (stuff and unlabelled pixels); nothing is ignored."""

    METAINFO: ClassVar[dict] = {
        "classes": ("background", *_STUFF["classes"][:80]),
        "palette": [[0, 0, 0], *_STUFF["palette"][:80]],
    }
    defaults: ClassVar[dict] = {"seg_map_suffix": "_instanceTrainIds.png"}
    source = "The label maps are made from COCO-Stuff164k by datasets/cvt_coco_object.py."


@DATASETS.register_module()
class TinyWorldDataset(BenchmarkDataset):
    """The embedded drawn scenes, in Pascal VOC's layout; drawn into `data_root` first if they are not there.

    Args:
        count, seed: how many scenes, and of which seed.
    """

    METAINFO: ClassVar[dict] = {"classes": tinyworld.CLASSES, "palette": [list(c) for c in tinyworld.PALETTE]}
    defaults: ClassVar[dict] = {"img_suffix": ".png"}

    def __init__(self, data_root: str, count: int = 500, seed: int = 1, **kwargs: Any) -> None:
        root = Path(data_root).expanduser()
        tinyworld.prepare(root, count, seed)
        super().__init__(data_root=str(root), **kwargs)
