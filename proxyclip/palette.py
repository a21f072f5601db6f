"""Colours of classes: one palette for the pictures of evaluations, reports and single segmentations."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import cv2
import numpy as np

# Okabe and Ito's colours, then each the farthest in CIELAB from those before it, also as seen with deuteranopia and
# protanopia (Machado et al., 2009): no two are nearer than 26, and with either of those 12.
PALETTE = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#56b4e9", "#d55e00", "#332288",
    "#554400", "#11ee77", "#dd0044", "#bb77ff", "#ffbbaa", "#990077", "#88aa44", "#881133",
    "#0066ee", "#ddccff", "#bbaa77", "#557744", "#ff66dd", "#cc6666", "#663355", "#88dd55",
)  # fmt: skip
NEUTRAL = "#8a8f98"  # what is no class of its own: a background
_STEP = 17  # between the levels of a channel among which further colours are chosen
_AVOIDED = ("#000000", "#ffffff", "#808080", NEUTRAL)


def slots(classes: Iterable[int]) -> dict[int, int]:
    """Class -> place in PALETTE: its number modulo the length, or the next that is free among these classes."""
    found: dict[int, int] = {}
    free = list(range(len(PALETTE)))
    for one in sorted(classes):
        wanted = one % len(PALETTE)
        if free and wanted not in free:
            wanted = next((slot for slot in free if slot > wanted), free[0])
        found[one] = wanted
        if wanted in free:
            free.remove(wanted)
    return found


def colours(count: int, background: bool = False) -> np.ndarray:
    """(count, 3) uint8 RGB: PALETTE, then each colour as far as can be from all before it.

    The first colours do not depend on how many there are, and all differ up to two thousand.

    Args:
        background: the first class is what is left over, and grey; the others have the colours they have without it.
    """
    first = _rgb([NEUTRAL]) if background else np.zeros((0, 3), np.uint8)
    chosen = _spread(64 * -(-max(0, count - len(PALETTE)) // 64))
    return np.resize(np.concatenate([first, chosen]), (count, 3)) if count else np.zeros((0, 3), np.uint8)


@lru_cache(maxsize=8)
def _spread(further: int) -> np.ndarray:
    """PALETTE and up to `further` more colours, chosen one by one: the farthest in CIELAB from those that are taken."""
    levels = np.arange(0, 256, _STEP, dtype=np.uint8)
    choices = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    lightness, a, b = _lab(choices).T
    choices = choices[(lightness > 28) & (lightness < 92) & (np.hypot(a, b) < 75)]  # none black, pale or glaring
    places, base = _lab(choices), _rgb(PALETTE)
    taken = _lab(np.concatenate([base, _rgb(_AVOIDED)]))
    distance = np.min([((places - one) ** 2).sum(1) for one in taken], axis=0)
    found = [base]
    for _ in range(further):
        best = int(distance.argmax())
        if not distance[best]:
            break
        found.append(choices[best : best + 1])
        distance = np.minimum(distance, ((places - places[best]) ** 2).sum(1))
    return np.concatenate(found)


def _rgb(colours: Iterable[str]) -> np.ndarray:
    return np.array([[*bytes.fromhex(one[1:])] for one in colours], np.uint8).reshape(-1, 3)


def _lab(colours: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(colours[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
