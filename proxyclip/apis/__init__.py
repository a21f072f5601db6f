"""Public API: segment one image with any class names."""

from typing import Any

from proxyclip.apis.classes import ClassesInput, parse_class_query
from proxyclip.apis.images import ImageInput
from proxyclip.apis.segmentation import Segmentation
from proxyclip.apis.segmenter import Segmenter

__all__ = ["Segmentation", "Segmenter", "segment"]

_last: list[tuple[str, Segmenter]] = []


def segment(image: ImageInput, classes: ClassesInput, **options: Any) -> Segmentation:
    """Segment one image with any class names.

    The model of the last call is kept: with the same options, the next call loads nothing.

    Args:
        image: see `Segmenter.__call__`.
        classes: see `Segmenter.set_classes`.
        options: those of `Segmenter`, `background` and `threshold` among them.

    Example:
        >>> segmentation = segment("photo.jpg", ["horse", "grass", "sky"])
        >>> segmentation.labels.shape, segmentation.areas
        >>> segmentation.picture().save("photo_seg.png")
    """
    others = {name: options.pop(name) for name in ("background", "threshold") if name in options}
    is_default = not {"clip", "config"} & {*options}
    parse_class_query(classes, lower=is_default, **others)  # raise before the minutes a download may take
    key = repr(sorted(options.items()))
    if not _last or _last[0][0] != key:
        _last.clear()  # before the next is loaded: two may not fit into memory
        _last.append((key, Segmenter(**options)))
    return _last[0][1].set_classes(classes, **others)(image)
