"""COCO masks as a file of somebody else has them: run lengths and polygons, checked before they are decoded.

pycocotools reads past the end of its memory for a size that is not the mask's, leaves pixels unset where runs are
missing, and takes memory by the length of an outline.
"""

import math
from typing import Any

import numpy as np
from pycocotools import mask as rle

POLYGON_MARGIN = 2.0  # times the longer side: annotators' outlines leave the picture by less
MAX_POLYGON_NUMBERS = 1_000_000


def decode_mask(segmentation: Any, height: int, width: int) -> np.ndarray:
    """(height, width) bool: a mask, given as RLE (string or list of counts) or as polygons.

    Raises:
        ValueError: another form or size, runs that do not cover the picture, an outline far outside of it.
    """
    if isinstance(segmentation, list):
        _check_polygons(segmentation, height, width)
        return rle.decode(rle.merge(rle.frPyObjects(segmentation, height, width))).astype(bool)
    if not isinstance(segmentation, dict) or list(segmentation.get("size", ())) != [height, width]:
        size = segmentation.get("size") if isinstance(segmentation, dict) else type(segmentation).__name__
        raise ValueError(f"a mask has size {size}, the image {[height, width]}")
    counts = segmentation.get("counts")
    runs = counts if isinstance(counts, list) else _read_runs(counts)
    if any(not isinstance(run, int) or run < 0 for run in runs) or sum(runs) != height * width:
        raise ValueError(f"the runs of a mask do not cover its {height} x {width} pixels")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape((height, width), order="F")


def _read_runs(counts: Any) -> list[int]:
    """Lengths of the runs of COCO's compressed string: 5 bits a character, from the third on differences.

    Raises:
        ValueError: not such a string.
    """
    if not isinstance(counts, str) or not counts.isascii():
        raise ValueError(f"expected the runs of a mask as a list or a string, but got {type(counts).__name__}")
    runs: list[int] = []
    value = shift = 0
    for code in counts.encode():
        bits = code - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError(f"the runs of a mask have the character {chr(code)!r}, which none has there")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("the runs of a mask end in the middle of a number")
    return runs


def _check_polygons(polygons: list[Any], height: int, width: int) -> None:
    limit = POLYGON_MARGIN * max(height, width)
    numbers = 0
    for polygon in polygons:
        numbers += len(polygon) if isinstance(polygon, list) else 0
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2 or numbers > MAX_POLYGON_NUMBERS:
            raise ValueError("expected the polygons of a mask as lists of x, y of three points or more")
        for number in polygon:
            if not isinstance(number, (int, float)) or not math.isfinite(number) or abs(number) > limit:
                raise ValueError(
                    f"a polygon has the coordinate {number!r}, far outside of the {width} x {height} image"
                )
    if not polygons:
        raise ValueError("expected a mask of one polygon or more, but got none")
