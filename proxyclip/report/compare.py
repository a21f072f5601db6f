"""Two runs on the same images side by side: numbers, classes, images and settings; and the data to choose others."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from proxyclip.report import facts
from proxyclip.report.charts import SHOWN
from proxyclip.report.data import METRICS, Run
from proxyclip.report.gallery import Gallery, Shot
from proxyclip.report.words import count, percent, points

LISTED = 15  # gains and losses by image
PICTURED = 12


class Change(NamedTuple):
    """A number of both runs in percent, and B minus A in points."""

    name: str
    a: float
    b: float

    @property
    def by(self) -> float:
        return self.b - self.a


@dataclass(frozen=True)
class Comparison:
    """What the section on runs A and B shows; lists are sorted from the largest gain to the largest loss."""

    a: Run
    b: Run
    metrics: list[Change]
    settings: list[tuple[str, str, str]]
    classes: list[Change]
    images: list[Change]
    pictures: list[tuple[str, Shot, Shot]] = field(default_factory=list)

    @property
    def shown(self) -> list[Change]:
        """The classes that moved most, where there are too many to show all."""
        if len(self.classes) <= SHOWN:
            return self.classes
        return self.classes[: SHOWN // 2] + self.classes[-SHOWN // 2 :]

    @property
    def widest(self) -> float:
        """The largest change of a class, at least one point: the length of a whole bar."""
        return max([1.0, *(abs(one.by) for one in self.classes)])

    @property
    def gains(self) -> list[Change]:
        return [one for one in self.images if one.by > 0][:LISTED]

    @property
    def losses(self) -> list[Change]:
        return [one for one in reversed(self.images) if one.by < 0][:LISTED]

    @property
    def said(self) -> str:
        """Which run is better on how many images, and the mean change of an image with its 95 % interval."""
        changes = [one.by for one in self.images]
        if len(changes) < 2:
            return "The records have no numbers by image that could be compared."
        better, worse = sum(by > 0 for by in changes), sum(by < 0 for by in changes)
        spread = 1.96 * statistics.stdev(changes) / len(changes) ** 0.5
        return (
            f"B is better on {count(better)} images, A on {count(worse)}, of {count(len(changes))}. "
            f"Mean difference of an image {points(statistics.fmean(changes))} ± {percent(spread)} points (95 %)."
        )


def comparable(a: Run, b: Run) -> str:
    """Why two runs cannot be laid side by side; empty where they can."""
    if a.dataset != b.dataset:
        return f"they are of two data sets, {a.dataset} and {b.dataset}"
    if a.names != b.names:
        return "they have different classes"
    if a.key != b.key:
        return f"they saw different images ({a.images} and {b.images})"
    return ""


def first_pair(runs: Sequence[Run]) -> tuple[Run, Run] | None:
    """The two best runs of the first data set that has two, the better one as B; of different methods if any are."""
    for run in runs:
        peers = sorted((one for one in runs if one.key == run.key), key=lambda one: -(one.miou or 0))
        if len(peers) > 1:
            other = next((one for one in peers[1:] if one.method != peers[0].method), peers[1])
            return other, peers[0]
    return None


def compare(a: Run, b: Run, gallery: Gallery) -> Comparison:
    """Runs A and B, which must be `comparable`; images are matched by file, classes by number."""
    metrics = _changes([(name, a.metrics[name], b.metrics[name]) for name in METRICS])
    classes = _changes([(one.name, one.iou, other.iou) for one, other in zip(a.classes, b.classes, strict=False)])
    both = [file for file in a.per_image if file in b.per_image]
    images = _changes([(file, a.per_image[file][0], b.per_image[file][0]) for file in both])
    mine, theirs = gallery.shots.get(a.anchor, {}), gallery.shots.get(b.anchor, {})
    pictures = [(file, mine[file], theirs[file]) for file in mine if file in theirs][:PICTURED]
    one, other = facts.settings(a), facts.settings(b)
    keys = [key for key in dict.fromkeys([*one, *other]) if one.get(key) != other.get(key)]
    settings = [(key, one.get(key, "-"), other.get(key, "-")) for key in keys]
    classes.sort(key=lambda change: -change.by)
    images.sort(key=lambda change: -change.by)
    return Comparison(a, b, metrics, settings, classes, images, pictures)


def scatter(images: Sequence[Change], sign: int) -> str:
    """The path of the dots of images that B has better (1), worse (-1) or the same (0), in a square of 100 x 100."""
    dots = [one for one in images if (one.by > 0) - (one.by < 0) == sign]
    return "".join(f"M{one.a:.1f} {100 - one.b:.1f}h0" for one in dots)


def payload(runs: Sequence[Run], gallery: Gallery) -> dict[str, Any]:
    """What the page's script needs to compare any two comparable runs: plain JSON, two decimals an image."""
    sets: dict[tuple[Any, ...], dict[str, Any]] = {}
    found = []
    for run in runs:
        shared = sets.setdefault(run.key, {"classes": run.names, "files": {}})
        for file in run.per_image:
            shared["files"].setdefault(file, len(shared["files"]))
    for run in runs:
        shared = sets[run.key]
        values: list[float | None] = [None] * len(shared["files"])
        for file, (miou, _) in run.per_image.items():
            values[shared["files"][file]] = _short(miou)
        found.append(
            {
                "id": run.id,
                "set": list(sets).index(run.key),
                "label": run.label,
                "dataset": run.dataset,
                "anchor": run.anchor,
                "metrics": [run.metrics[name] for name in METRICS],
                "iou": [_short(row.iou, 4) for row in run.classes],
                "images": values,
                "settings": facts.settings(run),
                "pictures": [[file, *_pictures(shot)] for file, shot in gallery.shots.get(run.anchor, {}).items()],
            }
        )
    return {
        "metrics": METRICS,
        "sets": [{**shared, "files": list(shared["files"])} for shared in sets.values()],
        "runs": found,
    }


def legend(one: Shot, other: Shot) -> dict[str, str]:
    """Class -> colour of what two runs show of one image; both use the same colours."""
    return {key.name: key.colour for key in [*one.legend, *other.legend]}


def _pictures(shot: Shot) -> tuple[list[list[Any] | str], dict[str, str]]:
    """Id, width and height of each picture, or why it is missing; and the colours of the classes."""
    drawn = ((panel.drawing, panel.missing) for panel in shot.panels.values())
    return [[one.id, one.width, one.height] if one else missing for one, missing in drawn], legend(shot, shot)


def _changes(rows: Sequence[tuple[str, float | None, float | None]]) -> list[Change]:
    return [Change(name, a, b) for name, a, b in rows if a is not None and b is not None]


def _short(value: float | None, digits: int = 2) -> float | None:
    return None if value is None else round(value, digits)
