"""Marks on runs: the words that a number needs, and which run of a data set is the best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from proxyclip.report.data import Run


class Badge(NamedTuple):
    """A word on a run that its numbers need, and the sentence that explains it."""

    word: str
    why: str


def badges(run: Run) -> list[Badge]:
    """What a reader must know before comparing the numbers of a run."""
    return list(_badges(run))


def best(runs: Sequence[Run]) -> set[str]:
    """Anchors of the best run of each data set that has several; partial ones count only among themselves."""
    found = set()
    for dataset in {run.dataset for run in runs}:
        here = [run for run in runs if run.dataset == dataset and run.miou is not None]
        rivals = [run for run in here if run.whole] or here
        most = max((run.images or 0 for run in rivals), default=0)
        rivals = [run for run in rivals if (run.images or 0) == most]
        if len(rivals) > 1:
            found.add(max(rivals, key=lambda run: (run.miou or 0, run.id)).anchor)
    return found


def _badges(run: Run) -> Iterator[Badge]:
    record, left_out = run.record, len(run.left_out)
    if record.get("partial"):
        yield Badge("partial", f"Only the first {run.images} images of the data set were evaluated (--limit).")
    if record.get("approximations"):
        yield Badge("approximate", f"Computed in a shorter way: {', '.join(map(str, record['approximations']))}.")
    if left_out:
        yield Badge(f"{left_out} left out", f"{left_out} image(s) could not be read and were left out (--skip-bad).")
    if record.get("resumed_images"):
        yield Badge("resumed", f"{record['resumed_images']} images were taken over from an interrupted run.")
    if (record.get("git") or {}).get("dirty"):
        yield Badge("dirty", "The checkout had changes that no commit holds when this ran.")
    if record.get("changes"):
        yield Badge("changed", f"Settings other than the config's: {', '.join(map(str, record['changes']))}.")
    if record.get("scoring") not in (None, "correct"):
        yield Badge(f"{record['scoring']} scoring", "Scored by another rule than the other runs (--scoring).")
