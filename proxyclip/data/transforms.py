"""Transforms: safe image loading, exact labels, suppression of labels."""

import contextlib
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import cv2
import mmcv
import mmengine.fileio as fileio
import mmseg.datasets  # noqa: F401  registers the loaders that those below replace
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmcv.transforms import LoadImageFromFile as _LoadImageFromFile
from mmseg.registry import TRANSFORMS
from torch import Tensor

from proxyclip.data.files.errors import FileIssue
from proxyclip.data.files.image_files import check_image_bytes
from proxyclip.data.files.images import apply_orientation, decode_rgb, verify_image
from proxyclip.data.files.label_maps import decode_label_map
from proxyclip.data.files.labels import LabelFormat

RGB_COLOR_TYPES = ("color_ignore_orientation", "color")
UNLABELED = -1  # label of a pixel whose class the training must not see


@TRANSFORMS.register_module()
class LoadImageFromFile(_LoadImageFromFile):
    """Load `img_path` into `img` (H, W, 3) uint8 BGR; damaged files are an error.

    Decodes as `Segmenter` does (`proxyclip.data.files.images`). Takes the place of mmcv's loader in MMSegmentation's
    scope, with the same arguments, but ignores the EXIF orientation unless `color_type='color'` is asked for: label
    maps are never turned by it. What the user of an image should know is printed for the first such image of a run.

    Args:
        stretch: spread the values of images of more than 8 bits over the range.
        max_megapixels: size up to which images are read; None: 179.

    Raises:
        OSError: the file is missing, empty, damaged or no image. ValueError: an image without values of 8 or 16 bits.
            The message has the file's name.
    """

    def __init__(
        self,
        to_float32: bool = False,
        color_type: str = "color_ignore_orientation",
        *,
        stretch: bool = False,
        max_megapixels: float | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("ignore_empty"):
            raise ValueError("Expected `ignore_empty` to be False: an image must not be skipped without a word")
        super().__init__(to_float32, color_type, **kwargs)
        self.decodes_rgb = color_type in RGB_COLOR_TYPES and self.imdecode_backend == "cv2"
        if stretch and not self.decodes_rgb:
            raise ValueError(
                f"Expected color_type {' or '.join(RGB_COLOR_TYPES)} and imdecode_backend 'cv2' with stretch, but got "
                f"{color_type!r} and {self.imdecode_backend!r}"
            )
        self.stretch = stretch
        self.max_megapixels = max_megapixels
        self._has_reported = torch.zeros(1, dtype=torch.bool)
        with contextlib.suppress(RuntimeError):  # without shared memory each process of a loader prints for itself
            self._has_reported.share_memory_()

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Read one image; adds `img`, `img_shape` and `ori_shape`."""
        path = results["img_path"]
        check_image_bytes(path, self.max_megapixels)
        data = fileio.get(path, backend_args=self.backend_args)
        image, notes = self._decode(data, path)
        if notes and not self._has_reported:
            self._has_reported[0] = True
            print(f"note: {notes[0]} (other images like it are not named)", file=sys.stderr, flush=True)
        image = np.ascontiguousarray(image, np.float32 if self.to_float32 else None)
        results.update(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
        results["max_megapixels"] = self.max_megapixels  # of its label map too
        return results

    def _decode(self, data: bytes, path: str) -> tuple[np.ndarray, tuple[FileIssue, ...]]:
        options: dict[str, Any] = dict(stretch=self.stretch, max_megapixels=self.max_megapixels)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata
            if not self.decodes_rgb:
                info = verify_image(data, path, **options)
                return mmcv.imfrombytes(data, flag=self.color_type, backend=self.imdecode_backend), info.notes
            rgb, info = decode_rgb(data, path, **options)
        if self.color_type == "color":
            rgb = apply_orientation(rgb, info.orientation)
        return cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR, dst=rgb), info.notes

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, stretch={self.stretch}, max_megapixels={self.max_megapixels})"


@TRANSFORMS.register_module(name=["MyLoadAnnotations", "LoadAnnotations"], force=True)
class MyLoadAnnotations(BaseTransform):
    """Load `seg_map_path` into `gt_seg_map` (H, W) int32, exact above 255 classes.

    Takes the place of MMSegmentation's LoadAnnotations, which casts to 8 bits: label 300 becomes 44 and 65535 becomes
    255 without a warning. Labels are classes 0..num_classes-1 or the ignore value; a sample without `num_classes` may
    have any.

    Args:
        reduce_zero_label: raw 0 becomes the ignore value, the others move down by one; None: as in the data set.
        ignore_index: value of pixels that are not scored, before and after; None: as in the data set, else 255.
        backend_args: of mmengine's file reader.
        imdecode_backend: 'pillow', the only one that leaves palette and 16-bit images as they are.
    """

    def __init__(
        self,
        reduce_zero_label: bool | None = None,
        ignore_index: int | None = None,
        backend_args: dict | None = None,
        imdecode_backend: str = "pillow",
    ) -> None:
        if imdecode_backend != "pillow":
            raise ValueError(f"Expected `imdecode_backend` to be 'pillow', but got {imdecode_backend!r}")
        self.reduce_zero_label = reduce_zero_label
        self.ignore_index = ignore_index
        self.backend_args = backend_args

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Read one label map.

        Raises:
            ValueError: it is no label map, or has a label that is neither a class nor the ignore value.
            OSError: it cannot be read.
        """
        path = results["seg_map_path"]
        label_format = LabelFormat(
            results.get("num_classes"),
            resolve_dataset_setting("ignore_index", self.ignore_index, results, 255),
            resolve_dataset_setting("reduce_zero_label", self.reduce_zero_label, results, False),
            results.get("ignored_values"),
        )
        check_image_bytes(path, results.get("max_megapixels"))
        data = fileio.get(path, backend_args=self.backend_args)
        labels = decode_label_map(data, path, results.get("max_megapixels"))
        label_format.check(labels, path)
        labels = label_format.apply(labels)
        if results.get("label_map"):
            labels = remap_labels(labels, results["label_map"], label_format.ignore)
        results["gt_seg_map"] = labels
        results.setdefault("seg_fields", []).append("gt_seg_map")
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(reduce_zero_label={self.reduce_zero_label}, ignore_index={self.ignore_index})"


def resolve_dataset_setting(name: str, mine: Any, of_dataset: dict[str, Any], default: Any) -> Any:
    """Merge a setting of data set and user; ValueError if they contradict."""
    theirs = of_dataset.get(name)
    if mine is not None and theirs is not None and mine != theirs:
        raise ValueError(f"{name} is {theirs} in the dataset but {mine} in the config of its user: say it once")
    return next((value for value in (mine, theirs) if value is not None), default)


def remap_labels(labels: np.ndarray, label_map: dict[int, int], ignore: int) -> np.ndarray:
    """Renumber labels to a subset of classes; `label_map`'s 255 becomes `ignore`."""
    chosen = np.full_like(labels, ignore)
    for old, new in label_map.items():
        chosen[labels == old] = ignore if new == 255 else new
    return chosen


@TRANSFORMS.register_module()
class SuppressLabels(BaseTransform):
    """Turn labels of some classes into -1, "unlabeled", to hide them from a training.

    Comes after the annotations are loaded; without annotations the whole map is -1. The ignore value stays. Maps become
    int32, in which OpenCV resizes and pads -1 unharmed. Adds `suppressed`, the ids, for `PackSegInputs(meta_keys=...)`.

    Args:
        which: "all" classes (annotation-free training), "unseen" ones of the data set (zero-shot), or their ids.

    Raises:
        ValueError: an unknown name, or a data set without a zero-shot split.
    """

    def __init__(self, which: str | Sequence[int] = "all") -> None:
        if isinstance(which, str) and which not in ("all", "unseen"):
            raise ValueError(f"Expected SuppressLabels(which='all'), 'unseen' or a list of ids, but got {which!r}")
        self.which = which

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Set `gt_seg_map` (H, W) int32 to -1 at suppressed classes."""
        ids = self.ids(results)
        labels = results.get("gt_seg_map")
        if labels is None:
            labels = np.full(results["img"].shape[:2], UNLABELED, np.int32)
            results.setdefault("seg_fields", []).append("gt_seg_map")
        else:
            labels = labels.astype(np.int32)
            labels[np.isin(labels, ids)] = UNLABELED
        results["gt_seg_map"] = labels
        results["suppressed"] = tuple(ids)
        return results

    def ids(self, metainfo: dict[str, Any]) -> list[int]:
        """List the ids for a sample, or for any dict with `num_classes` and `unseen`."""
        if self.which == "all":
            return list(range(metainfo["num_classes"]))
        if self.which != "unseen":
            return [int(class_id) for class_id in self.which]
        if not metainfo.get("unseen"):
            text = "SuppressLabels('unseen') needs a data set that says which classes are unseen: zero_shot=True"
            raise ValueError(text)
        return list(metainfo["unseen"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(which={self.which!r})"


def check_labels_suppressed(labels: Tensor, ids: Sequence[int]) -> None:
    """Refuse labels of classes that must be unlabeled in this training.

    Raises:
        ValueError: there are such labels; the message has the ids.
    """
    leaked = torch.isin(labels, torch.as_tensor(ids, device=labels.device))
    if leaked.any():
        leaked_ids = labels[leaked].unique().tolist()
        raise ValueError(
            f"Labels have classes {leaked_ids}, which are unlabelled in this training: is SuppressLabels there?"
        )
