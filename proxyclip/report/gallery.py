"""The pictures of the report: image, truth, prediction and errors of the images that runs kept, each embedded once.

Pictures of one image have the same colours in all runs, and parts that are equal are shared, so that runs can be laid
side by side without embedding anything twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from proxyclip.naming import Word, words
from proxyclip.palette import PALETTE, slots
from proxyclip.report import paint
from proxyclip.report.data import Run, dig

T = TypeVar("T")
KINDS = {"worst": "Worst images", "best": "Best images", "failure": "Largest confusions"}
TITLES = {"image": "Image", "truth": "Truth", "prediction": "Prediction", "errors": "Errors"}


class Drawing(NamedTuple):
    """An embedded picture: its id in the page, pixels, the photograph under it, and the words on it."""

    id: str
    width: int
    height: int
    uri: str
    under: str | None
    words: list[Word]


class Panel(NamedTuple):
    """A place in a row: a drawing, or the reason why there is none."""

    kind: str
    drawing: Drawing | None
    missing: str = ""


class Key(NamedTuple):
    """A line of a legend: shares of truth and prediction in percent."""

    name: str
    colour: str
    truth: float
    prediction: float

    @property
    def remark(self) -> str:
        """Missed or wrongly seen, in words; empty where truth and prediction both have the class."""
        return "" if self.truth and self.prediction else "missed" if self.truth else "not in the truth"


@dataclass
class Shot:
    """The pictures of one image in one run, by kind, and what their colours mean."""

    panels: dict[str, Panel]
    legend: list[Key]


class Row(NamedTuple):
    """An entry of a run's gallery."""

    file: str
    note: str
    miou: float | None
    aacc: float | None
    shot: Shot


@dataclass
class Gallery:
    """All pictures of a report: `rows[anchor][why]`, `shots[anchor][file]`, and the drawings behind them."""

    rows: dict[str, dict[str, list[Row]]] = field(default_factory=dict)
    shots: dict[str, dict[str, Shot]] = field(default_factory=dict)
    drawings: list[Drawing] = field(default_factory=list)

    def draw(self, shape: tuple[int, int], uri: str, under: Drawing | None = None, words=()) -> Drawing:
        """Keep one picture of `shape` (h, w)."""
        fits = under is not None and (under.height, under.width) == shape
        drawing = Drawing(f"p{len(self.drawings)}", *shape[::-1], uri, under.id if under and fits else None, [*words])
        self.drawings.append(drawing)
        return drawing


def collect(folder: Path, runs: Sequence[Run], most: int) -> Gallery:
    """The galleries of runs, at most `most` pictures of each kind a run. Files that are missing are said so."""
    gallery = Gallery()
    images: dict[Any, dict[str, tuple[Run, int]]] = {}
    for run in runs:
        gallery.rows[run.anchor], gallery.shots[run.anchor] = {}, {}
        for why, index, file, _ in _entries(run, most):
            images.setdefault((run.key, file), {})[run.anchor] = (run, index)
            gallery.rows[run.anchor].setdefault(why, [])
    for (_, file), uses in images.items():
        for anchor, shot in _shots(folder, gallery, list(uses.values())).items():
            gallery.shots[anchor][file] = shot
    for run in runs:
        for why, _, file, note in _entries(run, most):
            shot, numbers = gallery.shots[run.anchor][file], run.per_image.get(file, (None, None))
            gallery.rows[run.anchor][why].append(Row(file, note, *numbers, shot))
    return gallery


def _entries(run: Run, most: int) -> list[tuple[str, int, str, str]]:
    """(why, index, file, note) of the gallery of a record, kind by kind."""
    files, found = dig(run.record, "per_image.file", []), []
    entries = [one for one in dig(run.record, "gallery", []) if isinstance(dig(one, "index"), int)]
    for kind in KINDS:
        for one in [one for one in entries if one.get("why") == kind][:most]:
            i = one["index"]
            file = str(files[i]) if 0 <= i < len(files) else f"image {i}"
            found.append((kind, i, file, str(one.get("note") or "")))
    return found


def _shots(folder: Path, gallery: Gallery, uses: list[tuple[Run, int]]) -> dict[str, Shot]:
    """The pictures of one image for all runs that kept it, in colours that mean the same in all of them."""
    maps: dict[tuple[str, str], Any] = {}
    photo: Drawing | None = None
    why_none = ""
    for run, i in uses:
        place = folder / "gallery" / run.id
        for kind in ("truth", "prediction"):
            maps[run.anchor, kind] = _try(partial(paint.read_labels, place / f"{i}-{kind}.png", len(run.names)), folder)
        if photo is None:
            found = _try(partial(paint.photograph, place / f"{i}-image.jpg"), folder)
            if isinstance(found, str):
                why_none = why_none or found
            else:
                photo = gallery.draw(found[1], found[0])
    known = [found for found in maps.values() if not isinstance(found, str)]
    places = slots({one for labels, scored in known for one in np.unique(labels[scored]).tolist()})
    drawn: dict[str, Drawing] = {}

    def picture(run: Run, kind: str) -> Panel:
        found = maps[run.anchor, kind]
        if isinstance(found, str):
            return Panel(kind, None, found)
        labels, scored = found
        same = hashlib.sha256(labels.tobytes() + scored.tobytes() + str(labels.shape).encode()).hexdigest()
        if same not in drawn:
            names = {one: run.name(one) for one in places}
            uri = paint.label_map(labels, scored, places)
            drawn[same] = gallery.draw(labels.shape, uri, photo, words(labels, scored, names))
        return Panel(kind, drawn[same])

    return {
        run.anchor: Shot(
            {
                "image": Panel("image", photo, "" if photo else why_none),
                "truth": picture(run, "truth"),
                "prediction": picture(run, "prediction"),
                "errors": _errors(gallery, photo, maps[run.anchor, "truth"], maps[run.anchor, "prediction"]),
            },
            _legend(run, places, maps[run.anchor, "truth"], maps[run.anchor, "prediction"]),
        )
        for run, _ in uses
    }


def _errors(gallery: Gallery, photo: Drawing | None, truth: Any, prediction: Any) -> Panel:
    if isinstance(truth, str) or isinstance(prediction, str):
        return Panel("errors", None, "Without truth and prediction there are no errors to show.")
    if truth[0].shape != prediction[0].shape:
        return Panel("errors", None, "Truth and prediction differ in size.")
    wrong = (truth[0] != prediction[0]) | ~prediction[1]
    return Panel("errors", gallery.draw(truth[0].shape, paint.error_map(wrong, truth[1]), photo))


def _legend(run: Run, places: dict[int, int], truth: Any, prediction: Any) -> list[Key]:
    shares = []
    for found in (truth, prediction):
        labels, scored = (np.zeros(0, np.int32), np.zeros(0, bool)) if isinstance(found, str) else found
        counts = np.bincount(labels[scored], minlength=max(places, default=0) + 1)
        shares.append(100 * counts / max(1, int(counts.sum())))
    keys = [Key(run.name(i), PALETTE[slot], *(float(s[i]) for s in shares)) for i, slot in places.items()]
    known = not isinstance(truth, str) and not isinstance(prediction, str)
    keys = [key if known else key._replace(truth=100.0, prediction=100.0) for key in keys if key[2] or key[3]]
    return sorted(keys, key=lambda key: -max(key.truth, key.prediction)) if known else keys


def _try(read: Callable[[], T], folder: Path) -> T | str:
    """What `read` returns, or why a picture file cannot be read, in words and without the place of the work dir."""
    try:
        return read()
    except FileNotFoundError as error:
        return f"There is no file {Path(error.filename).relative_to(folder).as_posix()}."
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"A picture file cannot be read: {str(error).replace(f'{folder}/', '')}."
