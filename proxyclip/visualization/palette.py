"""Colors of classes: one palette for the images of evaluations, reports and single segmentations."""

from __future__ import annotations

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
_STEP = 17  # between the levels of a channel among which further colors are chosen
_AVOIDED = ("#000000", "#ffffff", "#808080", NEUTRAL_COLOR)


def class_colors(count: int, background: bool = False) -> np.ndarray:
    """(count, 3) uint8 RGB: CLASS_PALETTE, then each color the farthest from all before it.

    The first colors do not depend on `count`, and all differ up to two thousand.

    Args:
        background: class 0 is gray; the others have the colors they have without it.
    """
    first = hex_to_rgb([NEUTRAL_COLOR] if background else [])
    further = hex_to_rgb(CLASS_PALETTE) if count <= len(CLASS_PALETTE) else _extend_palette()
    return np.resize(np.concatenate([first, further]), (count, 3)) if count else np.zeros((0, 3), np.uint8)


def assign_palette_slots(classes: Iterable[int]) -> dict[int, int]:
    """Class -> index in CLASS_PALETTE: its id modulo the length, or the next that is free among these classes."""
    slots: dict[int, int] = {}
    free = list(range(len(CLASS_PALETTE)))
    for class_id in sorted(classes):
        slot = class_id % len(CLASS_PALETTE)
        if free and slot not in free:
            slot = next((other for other in free if other > slot), free[0])
        slots[class_id] = slot
        if slot in free:
            free.remove(slot)
    return slots


def hex_to_rgb(colors: Iterable[str]) -> np.ndarray:
    """`#rrggbb` strings -> (n, 3) uint8."""
    return np.array([[*bytes.fromhex(color[1:])] for color in colors], np.uint8).reshape(-1, 3)


@cache
def _extend_palette() -> np.ndarray:
    """CLASS_PALETTE and all further colors of a coarse grid, each the farthest in CIELAB from those before it."""
    levels = np.arange(0, 256, _STEP, dtype=np.uint8)
    choices = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    lightness, a, b = _to_lab(choices).T
    choices = choices[(lightness > 28) & (lightness < 92) & (np.hypot(a, b) < 75)]  # none black, pale or glaring
    lab, base = _to_lab(choices), hex_to_rgb(CLASS_PALETTE)
    used = _to_lab(np.concatenate([base, hex_to_rgb(_AVOIDED)]))
    distance = np.min([((lab - color) ** 2).sum(1) for color in used], axis=0)
    order = []
    while distance.any():
        order.append(int(distance.argmax()))
        distance = np.minimum(distance, ((lab - lab[order[-1]]) ** 2).sum(1))
    return np.concatenate([base, choices[order]])


def _to_lab(colors: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(colors[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
