"""Images of the report: photograph, truth, prediction, errors, embedded once.

Label maps of one image have the same colors in all runs, and equal ones are shared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from proxyclip.results.columns import record_value
from proxyclip.results.report.pictures import encode_photo, read_gallery_labels, read_picture_or_reason
from proxyclip.results.report.run_view import RunView
from proxyclip.utils.hashing import hash_chunks
from proxyclip.visualization.figure import image_to_data_uri
from proxyclip.visualization.overlay import draw_label_layer
from proxyclip.visualization.palette import CLASS_PALETTE, assign_palette_slots
from proxyclip.visualization.text import RegionLabel, place_region_labels

GALLERY_TITLES = {"worst": "Worst images", "best": "Best images", "failure": "Largest confusions"}
RIGHT_COLOR, WRONG_COLOR = "#ccd8e6", "#d55e00"
_CLASS_OPACITY = 205  # of 255, over the photograph; errors too
_RIGHT_OPACITY = 190  # of the right pixels of an error map
PANEL_TITLES = {"image": "Image", "truth": "Truth", "prediction": "Prediction", "errors": "Errors"}


class EmbeddedImage(NamedTuple):
    """Image in the page: id, size in pixels, photograph under it, names on it."""

    id: str
    width: int
    height: int
    uri: str
    under: str | None
    labels: list[RegionLabel]


class ImagePanel(NamedTuple):
    """Panel of a row: an image, or the reason that there is none."""

    drawing: EmbeddedImage | None
    missing: str = ""


class ClassShares(NamedTuple):
    """Line of a legend: shares of truth and prediction in percent."""

    name: str
    color: str
    truth: float
    prediction: float

    @property
    def remark(self) -> str:
        """Remark on a class of the truth or prediction alone; empty for one of both."""
        return "" if self.truth and self.prediction else "missed" if self.truth else "not in the truth"


class ImagePanels(NamedTuple):
    """Panels of one image in one run, by kind, and the legend of their colors."""

    panels: dict[str, ImagePanel]
    legend: list[ClassShares]


class GalleryRow(NamedTuple):
    """An entry of a run's gallery."""

    file: str
    note: str
    miou: float | None
    aacc: float | None
    shot: ImagePanels


@dataclass
class ReportGallery:
    """Images of a report: `rows[anchor][why]`, `shots[anchor][file]`, `drawings`."""

    rows: dict[str, dict[str, list[GalleryRow]]] = field(default_factory=dict)
    shots: dict[str, dict[str, ImagePanels]] = field(default_factory=dict)
    drawings: list[EmbeddedImage] = field(default_factory=list)

    def add_image(
        self, shape: tuple[int, int], uri: str, under: EmbeddedImage | None = None, labels=()
    ) -> EmbeddedImage:
        """Keep one image of `shape` (h, w)."""
        fits = under is not None and (under.height, under.width) == shape
        under_id = under.id if under and fits else None
        drawing = EmbeddedImage(f"p{len(self.drawings)}", *shape[::-1], uri, under_id, [*labels])
        self.drawings.append(drawing)
        return drawing


def collect_gallery(folder: Path, runs: Sequence[RunView], max_images: int) -> ReportGallery:
    """Collect at most `max_images` of each kind a run; a missing file is a remark."""
    gallery = ReportGallery()
    images: dict[Any, dict[str, tuple[RunView, int]]] = {}
    for run in runs:
        gallery.rows[run.anchor], gallery.shots[run.anchor] = {}, {}
        for why, index, file, _ in _entries(run, max_images):
            images.setdefault((run.key, file), {})[run.anchor] = (run, index)
            gallery.rows[run.anchor].setdefault(why, [])
    for (_, file), uses in images.items():
        for anchor, shot in _shots(folder, gallery, list(uses.values())).items():
            gallery.shots[anchor][file] = shot
    for run in runs:
        for why, _, file, note in _entries(run, max_images):
            shot, numbers = gallery.shots[run.anchor][file], run.per_image.get(file, (None, None))
            gallery.rows[run.anchor][why].append(GalleryRow(file, note, *numbers, shot))
    return gallery


def render_label_map(labels: np.ndarray, scored: np.ndarray, slots: Mapping[int, int]) -> str:
    """Encode (H, W) class indices as PNG in palette colors, unscored pixels hatched."""
    lookup = np.zeros(int(labels.max()) + 1, np.uint8)
    for class_id, slot in slots.items():
        if class_id < len(lookup):
            lookup[class_id] = slot
    layer = draw_label_layer(lookup[labels], scored, CLASS_PALETTE, [_CLASS_OPACITY] * len(CLASS_PALETTE))
    return image_to_data_uri(layer, "png", optimize=True)


def _entries(run: RunView, max_images: int) -> list[tuple[str, int, str, str]]:
    """(reason, index, file, note) of the gallery of a record, kind by kind."""
    files = record_value(run.record, "per_image.file", [])
    picks = [pick for pick in record_value(run.record, "gallery", []) if isinstance(record_value(pick, "index"), int)]
    entries = []
    for kind in GALLERY_TITLES:
        for pick in [pick for pick in picks if pick.get("why") == kind][:max_images]:
            i = pick["index"]
            file = str(files[i]) if 0 <= i < len(files) else f"image {i}"
            entries.append((kind, i, file, str(pick.get("note") or "")))
    return entries


def _shots(folder: Path, gallery: ReportGallery, uses: list[tuple[RunView, int]]) -> dict[str, ImagePanels]:
    """Panels of one image for all runs that kept it, with one assignment of colors."""
    maps: dict[tuple[str, str], Any] = {}
    photo: EmbeddedImage | None = None
    reason = ""
    for run, i in uses:
        read_labels = partial(read_gallery_labels, classes=len(run.names))
        for kind in ("truth", "prediction"):
            maps[run.anchor, kind] = read_picture_or_reason(read_labels, folder, run.id, f"{i}-{kind}.png")
        if photo is None:
            encoded = read_picture_or_reason(encode_photo, folder, run.id, f"{i}-image.jpg")
            if isinstance(encoded, str):
                reason = reason or encoded
            else:
                photo = gallery.add_image(encoded[1], encoded[0])
    known = [label_map for label_map in maps.values() if not isinstance(label_map, str)]
    slots = assign_palette_slots(set().union(*(np.unique(labels[scored]).tolist() for labels, scored in known)))
    embedded: dict[str, EmbeddedImage] = {}

    def label_panel(run: RunView, label_map: Any) -> ImagePanel:
        if isinstance(label_map, str):
            return ImagePanel(None, label_map)
        labels, scored = label_map
        digest = hash_chunks([labels.tobytes(), scored.tobytes(), str(labels.shape).encode()])
        if digest not in embedded:
            region_labels = place_region_labels(labels, scored, {class_id: run.name(class_id) for class_id in slots})
            uri = render_label_map(labels, scored, slots)
            embedded[digest] = gallery.add_image(labels.shape, uri, photo, region_labels)
        return ImagePanel(embedded[digest])

    shots = {}
    for run, _ in uses:
        truth, prediction = (maps[run.anchor, kind] for kind in ("truth", "prediction"))
        panels = {
            "image": ImagePanel(photo, "" if photo else reason),
            "truth": label_panel(run, truth),
            "prediction": label_panel(run, prediction),
            "errors": _errors(gallery, photo, truth, prediction),
        }
        shots[run.anchor] = ImagePanels(panels, _legend(run, slots, truth, prediction))
    return shots


def _errors(gallery: ReportGallery, photo: EmbeddedImage | None, truth: Any, prediction: Any) -> ImagePanel:
    """Panel of the errors: right pixels pale, wrong vermilion, the rest hatched."""
    if isinstance(truth, str) or isinstance(prediction, str):
        return ImagePanel(None, "Without truth and prediction there are no errors to show.")
    if truth[0].shape != prediction[0].shape:
        return ImagePanel(None, "Truth and prediction differ in size.")
    wrong = (truth[0] != prediction[0]) | ~prediction[1]
    layer = draw_label_layer(wrong, truth[1], (RIGHT_COLOR, WRONG_COLOR), (_RIGHT_OPACITY, _CLASS_OPACITY))
    return ImagePanel(gallery.add_image(truth[0].shape, image_to_data_uri(layer, "png", optimize=True), photo))


def _legend(run: RunView, slots: dict[int, int], truth: Any, prediction: Any) -> list[ClassShares]:
    shares = []
    for label_map in (truth, prediction):
        labels, scored = (np.zeros(0, np.int32), np.zeros(0, bool)) if isinstance(label_map, str) else label_map
        counts = np.bincount(labels[scored], minlength=max(slots, default=0) + 1)
        shares.append(100 * counts / max(1, int(counts.sum())))
    keys = [ClassShares(run.name(i), CLASS_PALETTE[slot], *(float(s[i]) for s in shares)) for i, slot in slots.items()]
    known = not isinstance(truth, str) and not isinstance(prediction, str)
    keys = [key if known else key._replace(truth=100.0, prediction=100.0) for key in keys if key[2] or key[3]]
    return sorted(keys, key=lambda key: -max(key.truth, key.prediction)) if known else keys
