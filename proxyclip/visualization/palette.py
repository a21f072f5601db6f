"""Colors of classes, the same in evaluations, reports and single segmentations."""

from collections.abc import Iterable
from functools import cache

import cv2
import numpy as np

# Okabe and Ito's colors, then each the farthest in CIELAB from those before it, also as seen with deuteranopia and
# protanopia (Machado et al., 2009): no two are nearer than 26, and with either of those 12.
CLASS_PALETTE = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#56b4e9", "#d55e00", "#332288",
    "#554400", "#11ee77", "#dd0044", "#bb77ff", "#ffbbaa", "#990077", "#88aa44", "#881133",
    "#0066ee", "#ddccff", "#bbaa77", "#557744", "#ff66dd", "#cc6666", "#663355", "#88dd55",
)  # fmt: skip
NEUTRAL_COLOR = "#8a8f98"  # of the background
_AVOIDED = ("#000000", "#ffffff", "#808080", NEUTRAL_COLOR)


def class_colors(count: int, background: bool = False) -> np.ndarray:
    """Return class colors (count, 3) uint8 RGB, first those of CLASS_PALETTE.

    The first colors do not depend on `count`, and all differ up to two thousand.

    Args:
        background: class 0 is gray; the others have the colors they have without it.
    """
    first = hex_to_rgb([NEUTRAL_COLOR] if background else [])
    further = hex_to_rgb(CLASS_PALETTE) if count <= len(CLASS_PALETTE) else _extend_palette()
    return np.resize(np.concatenate([first, further]), (count, 3)) if count else np.zeros((0, 3), np.uint8)


def assign_palette_slots(classes: Iterable[int]) -> dict[int, int]:
    """Map class ids to indices of CLASS_PALETTE, without repetition if possible.

    The index is the id modulo the length, or the next that is free among these classes.
    """
    count = len(CLASS_PALETTE)
    free = set(range(count))
    slots: dict[int, int] = {}
    for class_id in sorted(classes):
        slots[class_id] = min(free or range(count), key=lambda slot: (slot - class_id) % count)
        free.discard(slots[class_id])
    return slots


def hex_to_rgb(colors: Iterable[str]) -> np.ndarray:
    """Convert `#rrggbb` strings to (n, 3) uint8."""
    return np.array([[*bytes.fromhex(color[1:])] for color in colors], np.uint8).reshape(-1, 3)


@cache
def _extend_palette() -> np.ndarray:
    """CLASS_PALETTE, then the colors of a coarse grid, the farthest in CIELAB first."""
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    colors = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    lightness, a, b = _to_lab(colors).T
    colors = colors[(lightness > 28) & (lightness < 92) & (np.hypot(a, b) < 75)]  # none black, pale or glaring
    lab = _to_lab(colors)
    used = _to_lab(hex_to_rgb([*CLASS_PALETTE, *_AVOIDED]))
    distance = np.min([((lab - color) ** 2).sum(1) for color in used], axis=0)
    order = []
    while distance.any():
        order.append(int(distance.argmax()))
        distance = np.minimum(distance, ((lab - lab[order[-1]]) ** 2).sum(1))
    return np.concatenate([hex_to_rgb(CLASS_PALETTE), colors[order]])


def _to_lab(colors: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(colors[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
