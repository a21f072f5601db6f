"""Results of a grid beside published ones: what the table shows, and whether they were reproduced."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from proxyclip.grid.cells import Cell
from proxyclip.results import published

TITLES = ("target", "difference", "source")
FOOTNOTE = "~ published under a protocol that differs from this config's, or that the source does not state"
_ROUNDING = 1e-9  # 60.8 and 61.3 are 0.5 apart


def pair(cell: Cell) -> tuple[Any, float | None]:
    """The target of a cell, and the mIoU in percent to hold against it: None without a record that can be compared."""
    target = published.target_of(cell.run) if cell.run is not None else None
    if cell.run is None or target is None:
        return cell.target, None
    return target, cell.run.get("metrics", {}).get("mIoU")


def columns(cell: Cell) -> tuple[str, str, str]:
    """Target, difference and source as a table shows them."""
    target, number = pair(cell)
    if target is None:
        return "-", "-", "-"
    difference = "-" if number is None else f"{number - target.value:+.2f}"
    return f"{'' if target.exact else '~'}{target.value:.2f}", difference, target.source


def verdict(cells: Iterable[Cell], tolerance: float) -> tuple[bool, str]:
    """Whether all exact targets are met, and one line that says so.

    Args:
        tolerance: the largest difference in points of mIoU. A cell without a result has not met its target.
    """
    good, off, missing, seen = 0, [], [], set()
    for cell in cells:
        target, number = pair(cell)
        if target is None or not target.exact or (cell.identity and cell.identity in seen):
            continue
        seen.add(cell.identity)
        name = " ".join((cell.short, *cell.named[:2]))
        if number is not None and abs(number - target.value) <= tolerance + _ROUNDING:
            good += 1
        elif number is not None:
            off.append(f"{name}: {number:.2f} instead of {target.value:.2f}")
        elif cell.run is not None:
            why = "images are left out" if cell.run.get("left_out") else "its record cannot be compared"
            off.append(f"{name}: {why}")
        else:
            missing.append(name)
    total = good + len(off) + len(missing)
    if not total:
        return False, "reproduced: nothing to compare, no cell has a published result of exactly its protocol"
    lists = (("off", off), ("missing", missing))
    why = "; ".join(f"{word}: {', '.join(names)}" for word, names in lists if names)
    return good == total, f"reproduced: {good} of {total} within {tolerance:g} mIoU" + (f" ({why})" if why else "")
