"""Event handlers of the page, from values of controls to updates."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from proxyclip.apis.web import inference
from proxyclip.apis.web.inference import UploadedImage
from proxyclip.apis.web.model_cache import ModelCache, ModelChoice
from proxyclip.apis.web.render import (
    render_message,
    render_preview,
    render_probability,
    render_probe,
    render_segmentation,
    render_template,
)
from proxyclip.apis.web.session import PaneResult, ResultStore
from proxyclip.engine.errors import format_error
from proxyclip.models.weights import WeightsError


class PageHandlers:
    """Handlers over one set of models; errors are shown on the page.

    Images are kept in the sessions, results here, under keys that the sessions keep.
    """

    def __init__(self, models: ModelCache) -> None:
        self.models = models
        self.result_store = ResultStore()
        models.on_evict = self.result_store.drop_model

    def upload(self, path: str | None, stretch: bool, shown: str) -> tuple:
        """Show an uploaded image; its file is deleted, and the box is empty for the next."""
        try:
            image = inference.read_upload(path or "", stretch)
        except (OSError, ValueError) as error:
            return None, self._show_error(error), _hidden(), render_template("welcome"), None, self._forget(shown)
        finally:
            Path(path or "-").unlink(missing_ok=True)
        return self._show_image(image, shown)

    def stretch(self, picture: UploadedImage | None, stretch: bool, shown: str) -> tuple:
        """Show the image with its values stretched, or as they are."""
        if picture is None:
            return (gr.skip(),) * 6
        try:
            return self._show_image(inference.stretch_upload(picture, stretch), shown)
        except ValueError as error:  # floating-point values, which need it
            return None, self._show_error(error), _hidden(), render_template("welcome"), None, self._forget(shown)

    def example(self, classes: str, shown: str, event: gr.EventData) -> tuple:
        """Show an example; its classes fill an empty box."""
        number = _event_number(event, "index") % len(inference.EXAMPLE_SCENES)
        image = inference.draw_example(number)
        return *self._show_image(image, shown), classes.strip() or inference.format_example_classes(number)

    def segment(
        self, picture: UploadedImage | None, shown: str, toys: bool, classes: str, background: str,
        threshold: float | None, compare: bool, method: str, vfm: str, method2: str, vfm2: str,
        beta: float | None, gamma: float | None, refine: str = inference.AS_CONFIGURED,
    ) -> tuple:  # fmt: skip
        """Segment the image; after an error the previous result stays."""
        choices = [ModelChoice(method, vfm, toys), ModelChoice(method2, vfm2, toys)][: 2 if compare else 1]
        params = {name: float(value) for name, value in (("beta", beta), ("gamma", gamma)) if value is not None}
        try:
            panes = inference.segment_panes(
                self.models, picture, choices, classes, background, threshold or 0.0, refine, **params
            )
            html = render_segmentation(panes)
        except Exception as error:
            can_switch = isinstance(error, WeightsError) and not toys
            return self._show_error(error), gr.update(visible=can_switch), gr.skip(), gr.skip()
        self._forget(shown)
        notes = [*dict.fromkeys(note for pane in panes for note in pane.notes)]
        return render_message("", notes), _hidden(), html, self.result_store.put(panes)

    def rerun(self, picture: UploadedImage | None, shown: str, *values: Any) -> tuple:
        """Segment with new slider values, from the first result on."""
        return self.segment(picture, shown, *values) if shown else (gr.skip(),) * 4

    def select(self, shown: str, event: gr.EventData) -> tuple:
        """Show the probability of a class, or the segmentation for index -1."""
        index = _event_number(event, "index")
        return self._answer(render_segmentation if index < 0 else partial(render_probability, index=index), shown)

    def click(self, shown: str, event: gr.EventData) -> tuple:
        """Show class probabilities and attention of a pixel."""
        return self._answer(partial(render_probe, x=_event_number(event, "x"), y=_event_number(event, "y")), shown)

    def toggle_sliders(self, toys: bool, compare: bool, *names: str) -> Any:
        """Show the sliders if one of the panes has them."""
        choices = [ModelChoice(names[0], names[1], toys), ModelChoice(names[2], names[3], toys)][: 2 if compare else 1]
        return gr.update(visible=any(map(self.models.tunable, choices)))

    def switch_world(self, toys: bool, classes: str, *methods: str) -> tuple:
        """Offer the VFMs of the other models; example classes fill an empty box."""
        offer = self.models.list_available(toys)
        vfms = [self.models.fit_vfm(method, offer.first.vfm, toys) for method in methods]
        text = classes.strip() or (inference.TINYWORLD_CLASSES_TEXT if toys else "")
        return *(gr.update(choices=[*offer.vfms], value=vfm) for vfm in vfms), text

    def _answer(self, draw: Callable[[list[PaneResult]], str], shown: str) -> tuple:
        try:
            with self.models.lock:
                panes = self.result_store.get(shown)
                return render_message("", panes[0].notes), draw(panes)
        except Exception as error:
            return self._show_error(error), gr.skip()

    def _show_image(self, image: UploadedImage, shown: str) -> tuple:
        """Empty upload box, no message, the image, and no result."""
        return None, render_message("", image.notes), _hidden(), render_preview(image), image, self._forget(shown)

    def _forget(self, shown: str) -> str:
        self.result_store.drop(shown)
        return ""

    def _show_error(self, error: Exception) -> str:
        return render_message(format_error(error))


def _hidden() -> Any:
    return gr.update(visible=False)


def _event_number(event: gr.EventData, name: str) -> int:
    """Integer of an event, -1 if it has none."""
    value = event._data.get(name)
    return int(value) if isinstance(value, (int, float)) and abs(value) < 1e9 else -1
