"""What the page does when it is asked: plain functions of pictures and words, without a browser."""

from __future__ import annotations

import dataclasses
import re
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import vocabulary
from ..api import words
from .given import Picture, pixels
from .models import TUNED, Choice, Models
from .results import Place, Side
from .settings import Settings

NAMES = 1000  # most names, synonyms included


@dataclass(frozen=True)
class Ask:
    """One press of the button: words as they were typed, a choice of models for each side, and the sliders."""

    classes: str
    background: str
    threshold: float
    sides: tuple[Choice, ...]
    numbers: tuple[tuple[str, float], ...] = ()


def segment(models: Models, given: Picture | None, ask: Ask) -> list[Side]:
    """Segment a picture on every side.

    Raises:
        ValueError: no picture, no words, too many, or models that do not go together. WeightsError: see `Models`.
    """
    if given is None:
        raise ValueError("Choose a picture first: drop one above, or take an example")
    classes = words.split(ask.classes)  # a list, whatever is typed: text that ends in .txt would be read as a file
    if not classes:
        raise ValueError('Say what to look for: one or more classes, such as "horse; grass; sky"')
    chosen = words.read(classes, split(ask.background) or None, ask.threshold)
    if len(chosen.vocabulary.names) > NAMES:
        raise ValueError(f"Expected at most {NAMES} names, but got {len(chosen.vocabulary.names)}")
    for choice in ask.sides:
        models.check(choice)
    rgb = pixels(given)
    with models.lock:
        found = [_side(models, given, rgb, ask, choice) for choice in ask.sides]
    return [dataclasses.replace(side, other=chosen.has_other) for side in found]


def typed(settings: Settings) -> tuple[str, str, float]:
    """Classes, background words and threshold of the command line as somebody would type them on the page.

    Raises:
        ValueError: a vocabulary file that cannot be read as one.
    """
    classes, background, threshold = settings.classes or "", settings.background or "", settings.threshold
    if classes and Path(classes).is_file():
        lines = [", ".join(names) for names in vocabulary.read(Path(classes)).classes]
        classes = "; ".join(lines) + ";" * (len(lines) == 1)  # alone, commas would be between classes
    try:
        return classes, "", float(background)
    except ValueError:
        return classes, background, threshold


def split(text: str) -> list[str]:
    """Background words: separated by commas, semicolons or lines."""
    return [word.strip() for word in re.split(r"[,;\n]", text or "") if word.strip()]


def place(models: Models, sides: list[Side], x: int, y: int) -> Place:
    """Probabilities and attention at one pixel.

    Raises:
        ValueError: outside of the picture.
    """
    with models.lock:
        return Place(x, y, [side.found.at(x, y) for side in sides], [_attention(side, x, y) for side in sides])


def probability(models: Models, sides: list[Side], index: int) -> list[np.ndarray]:
    """(H, W) probability of one class on each side. Raises ValueError for no such class."""
    with models.lock:
        return [side.found.probability(index) for side in sides]


def _side(models: Models, given: Picture, rgb: np.ndarray, ask: Ask, choice: Choice) -> Side:
    segmenter = models.segmenter(choice)
    start = time.perf_counter()
    segmenter.set_classes(words.split(ask.classes), split(ask.background) or None, ask.threshold)
    numbers = {name: value for name, value in ask.numbers if name in TUNED and name in segmenter.tunable}
    if numbers:
        segmenter.tune(**numbers)
    found = dataclasses.replace(segmenter(rgb), name=given.name)
    return Side(choice, segmenter, found, time.perf_counter() - start)


def _attention(side: Side, x: int, y: int) -> np.ndarray | None:
    """Where the patch looks, NaN outside of its window; None of a method without proxy attention."""
    try:
        return side.segmenter.attention(side.found.image, x, y)
    except ValueError:
        return None
