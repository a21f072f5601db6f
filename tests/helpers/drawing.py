"""Classes, odd texts and gray images for tests of drawings."""

import numpy as np

from proxyclip.visualization.palette import class_colors

NAMES = ("sky", "grass", "boat")
COLORS = class_colors(3)
UNICODE = ("лошадь", "סוס", "馬", "Ä", "a\nb\tc\x00", "\ud800", "", " ", "x" * 500, "word " * 90, "😀")


def gray(h: int, w: int, value: int = 120) -> np.ndarray:
    return np.full((h, w, 3), value, np.uint8)
