"""Comparison of two runs on the same images: numbers, classes, images, settings."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from proxyclip.results.report.charts import MAX_SHOWN_CLASSES
from proxyclip.results.report.facts import flatten_settings
from proxyclip.results.report.images import ImagePanels, ReportGallery
from proxyclip.results.report.intervals import MIN_INTERVAL_VALUES, mean_interval
from proxyclip.results.report.run_view import REPORT_METRICS, RunView
from proxyclip.utils.formats import format_count, format_points, format_report_percent

MAX_LISTED_IMAGES = 15  # gains and losses by image
MAX_PICTURED_IMAGES = 12


class ValueChange(NamedTuple):
    """Number of both runs in percent, and B minus A in points."""

    name: str
    a: float
    b: float

    @property
    def delta(self) -> float:
        return self.b - self.a


@dataclass(frozen=True)
class Comparison:
    """Data of the comparison section; lists from largest gain to largest loss."""

    a: RunView
    b: RunView
    metrics: list[ValueChange]
    settings: list[tuple[str, str, str]]
    classes: list[ValueChange]
    images: list[ValueChange]
    pictures: list[tuple[str, ImagePanels, ImagePanels]] = field(default_factory=list)

    @property
    def shown_classes(self) -> list[ValueChange]:
        """Classes with the largest changes, where there are too many to show all."""
        if len(self.classes) <= MAX_SHOWN_CLASSES:
            return self.classes
        return self.classes[: MAX_SHOWN_CLASSES // 2] + self.classes[-MAX_SHOWN_CLASSES // 2 :]

    @property
    def max_change(self) -> float:
        """Largest change of a class, at least one point: the length of a whole bar."""
        return max([1.0, *(abs(change.delta) for change in self.classes)])

    @property
    def gains(self) -> list[ValueChange]:
        return [change for change in self.images if change.delta > 0][:MAX_LISTED_IMAGES]

    @property
    def losses(self) -> list[ValueChange]:
        return [change for change in reversed(self.images) if change.delta < 0][:MAX_LISTED_IMAGES]

    @property
    def summary(self) -> str:
        """Summary sentence: wins of both runs, mean difference and its 95 % interval where there are enough images."""
        deltas = [change.delta for change in self.images]
        if not deltas:
            return "The records have no numbers by image that could be compared."
        better = format_count(sum(delta > 0 for delta in deltas))
        worse = format_count(sum(delta < 0 for delta in deltas))
        wins = f"B is better on {better} images, A on {worse}, of {format_count(len(deltas))}."
        interval = mean_interval(deltas)
        if interval is None:
            return f"{wins} For a mean difference these are too few: it takes {MIN_INTERVAL_VALUES}."
        mean, spread = format_points(interval[0]), format_report_percent(interval[1])
        return f"{wins} Mean difference of an image {mean} ± {spread} points (95 %, Student's t)."


def why_not_comparable(a: RunView, b: RunView) -> str:
    """Return the reason that two runs cannot be compared; empty where they can."""
    if a.dataset != b.dataset:
        return f"they are of two data sets, {a.dataset} and {b.dataset}"
    if a.names != b.names:
        return "they have different classes"
    if a.key != b.key:
        return f"they saw different images ({a.images} and {b.images})"
    return ""


def choose_default_pair(runs: Sequence[RunView]) -> tuple[RunView, RunView] | None:
    """Choose the two best runs of a data set, of two methods if possible; B is better."""
    for run in runs:
        peers = sorted((peer for peer in runs if peer.key == run.key), key=lambda peer: -(peer.miou or 0))
        if len(peers) > 1:
            other = next((peer for peer in peers[1:] if peer.method != peers[0].method), peers[1])
            return other, peers[0]
    return None


def compare_runs(a: RunView, b: RunView, gallery: ReportGallery) -> Comparison:
    """Compare runs A and B, images matched by file and classes by number."""
    metrics = _changes([(name, a.metrics[name], b.metrics[name]) for name in REPORT_METRICS])
    classes = _changes([(of_a.name, of_a.iou, of_b.iou) for of_a, of_b in zip(a.classes, b.classes, strict=False)])
    shared_files = [file for file in a.per_image if file in b.per_image]
    images = _changes([(file, a.per_image[file][0], b.per_image[file][0]) for file in shared_files])
    a_images, b_images = (gallery.shots.get(run.anchor, {}) for run in (a, b))
    pictures = [(file, a_images[file], b_images[file]) for file in a_images if file in b_images]
    a_settings, b_settings = flatten_settings(a), flatten_settings(b)
    keys = [key for key in dict.fromkeys([*a_settings, *b_settings]) if a_settings.get(key) != b_settings.get(key)]
    settings = [(key, a_settings.get(key, "-"), b_settings.get(key, "-")) for key in keys]
    for changes in (classes, images):
        changes.sort(key=lambda change: -change.delta)
    return Comparison(a, b, metrics, settings, classes, images, pictures[:MAX_PICTURED_IMAGES])


def build_scatter_path(images: Sequence[ValueChange], sign: int) -> str:
    """Build the SVG path of the dots of images, in a square of 100 x 100.

    Args:
        sign: 1 for images that B has better, -1 worse, 0 the same.
    """
    dots = [change for change in images if (change.delta > 0) - (change.delta < 0) == sign]
    return "".join(f"M{change.a:.1f} {100 - change.b:.1f}h0" for change in dots)


def build_compare_payload(runs: Sequence[RunView], gallery: ReportGallery) -> dict[str, Any]:
    """Build the JSON data of all runs for compare.js, two decimals an image."""
    sets: dict[tuple[Any, ...], dict[str, Any]] = {}
    run_payloads = []
    for run in runs:
        shared = sets.setdefault(run.key, {"classes": run.names, "files": {}})
        for file in run.per_image:
            shared["files"].setdefault(file, len(shared["files"]))
    for run in runs:
        shared = sets[run.key]
        values: list[float | None] = [None] * len(shared["files"])
        for file, (miou, _) in run.per_image.items():
            values[shared["files"][file]] = _round_or_none(miou)
        run_payloads.append(
            {
                "id": run.id,
                "set": list(sets).index(run.key),
                "label": run.label,
                "dataset": run.dataset,
                "anchor": run.anchor,
                "metrics": [run.metrics[name] for name in REPORT_METRICS],
                "iou": [_round_or_none(row.iou, 4) for row in run.classes],
                "images": values,
                "settings": flatten_settings(run),
                "pictures": [[file, *_image_payload(shot)] for file, shot in gallery.shots.get(run.anchor, {}).items()],
            }
        )
    return {
        "metrics": REPORT_METRICS,
        "limits": {
            "classes": MAX_SHOWN_CLASSES,
            "listed": MAX_LISTED_IMAGES,
            "pictured": MAX_PICTURED_IMAGES,
            "interval": MIN_INTERVAL_VALUES,
        },
        "sets": [{**shared, "files": list(shared["files"])} for shared in sets.values()],
        "runs": run_payloads,
    }


def merge_legend_colors(*shots: ImagePanels) -> dict[str, str]:
    """Merge the legends of one image in several runs: class -> color."""
    return {key.name: key.color for shot in shots for key in shot.legend}


def _image_payload(shot: ImagePanels) -> tuple[list[list[Any] | str], dict[str, str]]:
    """Id, width and height of each picture, or its error; and the class colors."""
    drawings = ((panel.drawing, panel.missing) for panel in shot.panels.values())
    panels = [[drawing.id, drawing.width, drawing.height] if drawing else missing for drawing, missing in drawings]
    return panels, merge_legend_colors(shot)


def _changes(rows: Sequence[tuple[str, float | None, float | None]]) -> list[ValueChange]:
    return [ValueChange(name, a, b) for name, a, b in rows if a is not None and b is not None]


def _round_or_none(value: float | None, digits: int = 2) -> float | None:
    return None if value is None else round(value, digits)
