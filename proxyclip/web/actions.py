"""What the controls of the page call: from their values to what is shown next. Errors become words on the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from ..reporting import message
from ..weights import WeightsError
from . import given, view, work
from .given import Picture
from .models import Choice, Models
from .results import Shelf, Side
from .work import Ask


class Actions:
    """Handlers over one set of models. What somebody gave lives in their session; a result, under its name, here."""

    def __init__(self, models: Models) -> None:
        self.models, self.shelf = models, Shelf()
        models.dropped = self.shelf.without

    def upload(self, path: str | None, shown: str) -> tuple:
        """A file was sent. It is read and removed, and the box is empty for the next."""
        try:
            sent = given.picture(path or "")
        except (OSError, ValueError) as error:
            return None, self._said(error), _hidden(), view.welcome(), None, self._forget(shown)
        finally:
            Path(path or "-").unlink(missing_ok=True)
        return self._taken(sent, shown)

    def example(self, classes: str, shown: str, event: gr.EventData) -> tuple:
        """One of the drawn scenes was chosen; its words are taken where there are none."""
        number = _number(event, "index") % len(given.EXAMPLES)
        return *self._taken(given.example(number), shown), classes.strip() or given.example_words(number)

    def segment(
        self, picture: Picture | None, shown: str, toys: bool, classes: str, background: str, threshold: float | None,
        compare: bool, method: str, vfm: str, method2: str, vfm2: str, beta: float | None, gamma: float | None,
    ) -> tuple:  # fmt: skip
        """The button: a result, or in words why there is none; what was there before stays then."""
        sides = [(method, vfm), (method2, vfm2)][: 2 if compare else 1]
        numbers = [(name, float(value)) for name, value in (("beta", beta), ("gamma", gamma)) if value is not None]
        choices = tuple(Choice(*side, toys) for side in sides)
        try:
            ask = Ask(classes, background, threshold or 0.0, choices, tuple(numbers))
            found = work.segment(self.models, picture, ask)
            html = view.segmentation(found)
        except Exception as error:
            offer = isinstance(error, WeightsError) and not toys
            return self._said(error), gr.update(visible=offer), gr.skip(), gr.skip()
        self._forget(shown)
        return view.message(""), _hidden(), html, self.shelf.put(found)

    def again(self, picture: Picture | None, shown: str, *rest: Any) -> tuple:
        """A slider moved: nothing happens before the first result."""
        return self.segment(picture, shown, *rest) if shown else (gr.skip(),) * 4

    def select(self, shown: str, event: gr.EventData) -> tuple:
        """A class was clicked, or -1 to go back."""
        index = _number(event, "index")
        return self._answer(lambda sides: self._class(sides, index), shown)

    def click(self, shown: str, event: gr.EventData) -> tuple:
        """A pixel was clicked."""
        x, y = _number(event, "x"), _number(event, "y")
        return self._answer(lambda sides: view.place(sides, work.place(self.models, sides, x, y)), shown)

    def fit(self, toys: bool, method: str, vfm: str) -> str:
        """The VFM that goes with a method: none where it uses none, the first where it needs one."""
        return self.models.fitting(method, vfm, toys)

    def sliders(self, toys: bool, compare: bool, *sides: str) -> Any:
        """The sliders are there where one of the sides has them."""
        shown = [Choice(sides[0], sides[1], toys), Choice(sides[2], sides[3], toys)][: 2 if compare else 1]
        return gr.update(visible=any(self._tunable(choice) for choice in shown))

    def world(self, toys: bool, classes: str, *methods: str) -> tuple:
        """Other models: other VFMs for both methods, and the toy's words where there are none."""
        offer = self.models.offer(toys)
        vfms = [self.models.fitting(method, offer.first.vfm, toys) for method in methods]
        words = classes.strip() or (given.TINY_WORDS if toys else "")
        return *(gr.update(choices=[*offer.vfms], value=vfm) for vfm in vfms), words

    def rescue(self) -> tuple:
        """The tiny world is taken where the weights of the other models are missing."""
        return True, view.message(""), _hidden()

    def _class(self, sides: list[Side], index: int) -> str:
        if index < 0:
            return view.segmentation(sides)
        return view.probability(sides, index, work.probability(self.models, sides, index))

    def _answer(self, draw: Callable[[list[Side]], str], shown: str) -> tuple:
        try:
            return view.message(""), draw(self.shelf.get(shown))
        except Exception as error:
            return self._said(error), gr.skip()

    def _taken(self, picture: Picture, shown: str) -> tuple:
        """Another picture: an empty box, no message, the picture, and no result."""
        return None, view.message(""), _hidden(), view.preview(picture), picture, self._forget(shown)

    def _forget(self, shown: str) -> str:
        self.shelf.drop(shown)
        return ""

    def _tunable(self, choice: Choice) -> bool:
        try:
            self.models.check(choice)
        except ValueError:
            return False
        return bool(self.models.tunable(choice))

    def _said(self, error: Exception) -> str:
        return view.message(message(error))


def _hidden() -> Any:
    return gr.update(visible=False)


def _number(event: gr.EventData, name: str) -> int:
    """What a browser says, or -1 where that is no number."""
    value = event._data.get(name)
    return int(value) if isinstance(value, (int, float)) and abs(value) < 1e9 else -1
