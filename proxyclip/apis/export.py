"""Export a segmentation as mask image, COCO JSON or a folder."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as rle

from proxyclip.utils.io import replace_file

EXPORT_IMAGE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
EXPORT_SUFFIXES = (*EXPORT_IMAGE_FORMATS, ".json")


def convert_to_coco(labels: np.ndarray, names: Sequence[str], file_name: str) -> dict[str, Any]:
    """Convert a label map to COCO's format, for pycocotools and labeling tools.

    Every class is a category, with its index + 1 as the id. Every class that occurs is one annotation: a crowd, since
    it need not be a single object, with its mask run-length encoded, its area in pixels, its box, and its percent of
    the picture. Pixels of no class are in no annotation.
    """
    h, w = labels.shape
    annotations: list[dict[str, Any]] = []
    for class_id in np.unique(labels[(labels >= 0) & (labels < len(names))]).tolist():
        coded = rle.encode(np.asfortranarray(labels == class_id, np.uint8))
        area = int(rle.area(coded))
        annotations.append(
            dict(
                id=len(annotations) + 1,
                image_id=1,
                category_id=class_id + 1,
                iscrowd=1,
                segmentation=dict(size=[h, w], counts=coded["counts"].decode("ascii")),
                area=area,
                bbox=[int(side) for side in rle.toBbox(coded)],
                percent=round(100 * area / labels.size, 4),
            )
        )
    return dict(
        info=dict(description=f"Open-vocabulary segmentation of {file_name}"),
        images=[dict(id=1, file_name=file_name, width=w, height=h)],
        categories=[dict(id=i + 1, name=name) for i, name in enumerate(names)],
        annotations=annotations,
    )


def make_mask_image(labels: np.ndarray, colors: np.ndarray) -> Image.Image:
    """Make an image whose pixels are the labels, of mode "P" or "I;16".

    Args:
        labels: (H, W), 0 to K - 1.
        colors: (K, 3) uint8 RGB. From 257 classes on the mode is "I;16", which has no colors.

    Raises:
        ValueError: a label that is no class, or more than 65536 classes.
    """
    if labels.min() < 0 or labels.max() >= len(colors) or len(colors) > 65536:
        raise ValueError(
            f"Expected labels from 0 to {len(colors) - 1} of at most 65536 classes, but got {labels.min()} to "
            f"{labels.max()}"
        )
    if len(colors) > 256:
        return Image.fromarray(labels.astype(np.uint16))
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette(np.asarray(colors, np.uint8).tobytes())
    return image


def save_segmentation(segmentation: Any, where: str | Path) -> dict[str, Path]:
    """Do what `Segmentation.save` says."""
    where = Path(where).expanduser()
    if where.suffix.lower() in EXPORT_SUFFIXES:
        if where.is_dir():
            raise IsADirectoryError(f"Expected a file to write, but {where} is a folder: say a name for the file in it")
        kind = "json" if where.suffix.lower() == ".json" else "overlay"
        return {kind: _write(segmentation, kind, where)}
    if where.suffix and not where.is_dir():
        raise ValueError(
            f"Expected a folder or a file that ends in {', '.join(EXPORT_SUFFIXES)}, but got {where}; "
            "a folder whose name has a dot must exist"
        )
    if where.exists() and not where.is_dir():
        raise NotADirectoryError(f"Expected a folder, but {where} is a file: choose another place")
    endings = {"picture": "_seg.png", "overlay": "_overlay.png", "mask": "_mask.png", "json": ".json"}
    return {kind: _write(segmentation, kind, where / f"{segmentation.name}{end}") for kind, end in endings.items()}


def _write(segmentation: Any, kind: str, path: Path) -> Path:
    """Write one file, whole or not at all."""
    if path.is_dir():
        raise IsADirectoryError(f"Expected a file to write, but {path} is a folder: remove it or choose another place")
    content = format_coco_json(segmentation) if kind == "json" else getattr(segmentation, kind)()

    def write(temporary: Path) -> None:
        if isinstance(content, str):
            temporary.write_text(content, encoding="utf-8")
        else:
            content.save(temporary, EXPORT_IMAGE_FORMATS[path.suffix.lower()], quality=92)  # ignored for PNG

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, write)
    except (OSError, ValueError) as error:  # a ValueError: an image that is too large for its format, say
        reason = getattr(error, "strerror", None) or error
        raise OSError(f"{path} cannot be written ({reason}): choose another folder or kind of file") from error
    return path


def format_coco_json(segmentation: Any) -> str:
    """Format as COCO JSON, with the names of the classes, their areas in percent, and those that a refinement drops."""
    content = segmentation.to_coco() | dict(names=[*segmentation.names], areas=dict(segmentation.areas))
    if segmentation.dropped:
        content["dropped"] = [*segmentation.dropped]
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"
