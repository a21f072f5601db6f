"""A result as HTML: pictures of it, the classes with their shares, one pixel in numbers, and files to take along."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from ..api import drawing
from ..tinyworld import CLASSES
from . import encode
from .given import EXAMPLES, Picture, example, pixels
from .models import NONE
from .results import Place, Side, agreement

ASSETS = Path(__file__).parent / "assets"
BARS = 8  # most classes in the list of one pixel


@dataclass(frozen=True)
class Panel:
    """One picture with a layer over it; all pictures are data addresses, and `size` is the full (H, W)."""

    title: str
    note: str
    photo: str
    layer: str
    labels: str
    size: tuple[int, int]
    missing: str = ""


@dataclass(frozen=True)
class Row:
    """A class: its index, name, colour, and its percent of the picture on each side."""

    index: int
    name: str
    colour: str
    shares: tuple[float, ...]
    plain: bool = False  # it has no words, so no probability either


def script(name: str) -> str:
    """What a component of the page does in the browser."""
    return (ASSETS / f"{name}.js").read_text(encoding="utf-8")


def header(toy: bool) -> str:
    """The title, and in the tiny world what it is."""
    return _render("header.html.j2", toy=toy, words=len(CLASSES))


def welcome() -> str:
    """What stands there before the first result."""
    return _render("welcome.html.j2")


def examples() -> str:
    """The drawn scenes as small pictures to click."""
    files = [encode.address(example(i).data, "png") for i in range(len(EXAMPLES))]
    return _render("examples.html.j2", files=files)


def message(text: str, kind: str = "wrong") -> str:
    """A line above the result. kind: `wrong` or `note`; an empty text leaves no line."""
    return _render("message.html.j2", text=text, kind=kind)


def preview(given: Picture) -> str:
    """A picture that is not segmented yet."""
    rgb = pixels(given)
    return _render("preview.html.j2", photo=encode.jpeg(encode.fit(rgb)), name=given.name, size=rgb.shape[:2])


def segmentation(sides: Sequence[Side]) -> str:
    """The classes over the picture."""
    return _page(sides, [encode.overlay(side) for side in sides], "overlay", "Segmentation")


def probability(sides: Sequence[Side], index: int, values: Sequence[np.ndarray]) -> str:
    """Where one class is how probable. values: (H, W) of each side."""
    layers = [encode.jpeg(drawing.probability(encode.fit(each))) for each in values]
    name = sides[0].found.names[index]
    return _page(sides, layers, "probability", f"Probability of {name}", shown=index)


def place(sides: Sequence[Side], there: Place) -> str:
    """Where the patch under a pixel looks, and how probable each class is there."""
    layers, missing = [], []
    for side, looks in zip(sides, there.attention, strict=True):
        layers.append(
            encode.overlay(side) if looks is None else encode.heat(side.found.image, looks, (there.x, there.y))
        )
        missing.append("" if looks is not None else "no attention map: this method does not take one from the VFM")
    kind = "overlay" if all(missing) else "attention"
    title = f"Pixel {there.x}, {there.y}" + (": where its patch looks" if kind == "attention" else "")
    names = sides[0].found.names
    known = range(int(sides[0].other), len(names))  # `other` has no words, so no probability
    best = np.max(there.probabilities, axis=0)
    order = [i for rank, i in enumerate(sorted(known, key=lambda i: -best[i])) if rank < 3 or best[i] >= 0.005][:BARS]
    bars = [(names[i], [float(each[i]) for each in there.probabilities]) for i in order]
    cross = None if kind == "attention" else _percent(there, sides[0].found.labels.shape)
    return _page(sides, layers, kind, title, missing, bars=bars, cross=cross, others=len(known) - len(bars))


def _page(
    sides: Sequence[Side], layers: list[str], kind: str, title: str, missing: Sequence[str] = (), **more: Any
) -> str:
    panels = [
        Panel(
            _title(side, sides),
            f"{side.choice.vfm if side.choice.vfm != NONE else 'no VFM'}, {side.seconds:.1f} s",
            encode.once(side, "photo", lambda found: encode.jpeg(encode.fit(found.image))),
            layer,
            encode.once(side, "labels", lambda found: encode.indices(found.labels)),
            side.found.labels.shape[:2],
            missing[number] if missing else "",
        )
        for number, (side, layer) in enumerate(zip(sides, layers, strict=True))
    ]
    files = [_files(side, len(sides) > 1) for side in sides]
    said = dict(name=sides[0].found.name, rows=_rows(sides), files=files, same=agreement(list(sides)))
    return _render("result.html.j2", panels=panels, kind=kind, title=title, **said, **more)


def _title(side: Side, sides: Sequence[Side]) -> str:
    """What tells one side from the other."""
    method, vfm = side.choice.method, side.choice.vfm
    return f"{method}, {vfm}" if len({each.choice.method for each in sides}) < len(sides) else method


def _rows(sides: Sequence[Side]) -> list[Row]:
    first = sides[0].found
    shares = [[side.found.areas.get(name, 0.0) for name in first.names] for side in sides]
    order = np.argsort(-np.max(shares, axis=0), kind="stable")
    codes = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in first.colours.tolist()]
    return [
        Row(int(i), first.names[i], codes[i], tuple(side[i] for side in shares), sides[0].other and i == 0)
        for i in order
    ]


def _files(side: Side, several: bool) -> list[tuple[str, str, str]]:
    """(what, file name, data address) of what can be taken along."""
    name = side.found.name
    if several:
        name = "_".join([name, *(re.sub(r"[^\w+-]+", "_", word) for word in (side.choice.method, side.choice.vfm))])
    return [
        ("Mask (PNG)", f"{name}_mask.png", encode.once(side, "mask", encode.mask)),
        ("COCO (JSON)", f"{name}.json", encode.once(side, "json", encode.coco)),
    ]


def _percent(there: Place, size: tuple[int, ...]) -> tuple[float, float]:
    return 100 * (there.x + 0.5) / size[1], 100 * (there.y + 0.5) / size[0]


@cache
def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(ASSETS)
    return jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values)
