"""The controls of the page, and which action each of them calls."""

from __future__ import annotations

import os
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # gradio looks at it when it is imported

import gradio as gr

from . import given, view, work
from .actions import Actions
from .models import TUNED, Models, is_tiny

HOUR = 3600
USUAL = dict(beta=1.2, gamma=3.0)
JOB: dict[str, Any] = dict(concurrency_limit=1, concurrency_id="model", api_visibility="private")
QUICK: dict[str, Any] = dict(show_progress="hidden", queue=False, api_visibility="private")
HELP = dict(
    classes='";" between classes, "," between synonyms: horse; grass, lawn; sky',
    background="What everything else is, such as: wall, ceiling. Empty: every pixel gets a class.",
    threshold="Pixels whose best class is less probable become background (other, without background words).",
    beta="Higher: each patch looks at fewer, more similar places.",
    gamma="Higher: the most similar places count for more.",
)


def page(models: Models) -> gr.Blocks:
    """The page over some models, as gradio's blocks."""
    toy = is_tiny(models.settings)
    with gr.Blocks(
        title="Segment a picture with your own words",
        fill_width=True,
        analytics_enabled=False,
        delete_cache=(HOUR // 6, HOUR),
    ) as blocks:
        _html("head", view.header(toy))
        with gr.Row(elem_id="page"):
            with gr.Column(elem_id="controls", min_width=280):
                controls = _inputs(models, toy) | _models(models, toy) | _numbers(models)
            with gr.Column(elem_id="results", min_width=280):
                controls |= _results()
        controls["picture"] = gr.State(None, time_to_live=HOUR)
        controls["shown"] = gr.State("", time_to_live=HOUR)
        _wire(Actions(models), controls)
    blocks.queue(max_size=16)
    blocks.state_session_capacity = 64
    return blocks


def _html(name: str, text: str, script: str | None = None) -> gr.HTML:
    return gr.HTML(text, elem_id=name, js_on_load=script, apply_default_css=False)


def _inputs(models: Models, toy: bool) -> dict[str, Any]:
    """Picture, words, button."""
    words = work.typed(models.settings)[0] or (given.TINY_WORDS if toy else "")
    return dict(
        file=gr.File(label="Picture", file_types=["image"], height=120, elem_id="file"),
        examples=_html("examples", view.examples(), view.script("picture")),
        classes=gr.Textbox(
            words,
            label="What to look for",
            info=HELP["classes"],
            placeholder="horse; grass, lawn; sky",
            max_lines=6,
            elem_id="classes",
        ),
        go=gr.Button("Segment", variant="primary", elem_id="go"),
    )


def _models(models: Models, toy: bool) -> dict[str, Any]:
    """Method and VFM of one side, or of two."""
    offer = models.offer()
    first, second = offer.first, next(name for name in (*offer.methods,) if name != offer.first.method)
    second = "sclip" if "sclip" in offer.methods and first.method != "sclip" else second
    parts: dict[str, Any] = {}
    with gr.Row(elem_classes="pair"):
        parts["method"] = gr.Dropdown(offer.methods, value=first.method, label="Method", min_width=100)
        parts["vfm"] = gr.Dropdown(offer.vfms, value=first.vfm, label="VFM", min_width=100, elem_id="vfm")
    parts["compare"] = gr.Checkbox(False, label="Compare two", elem_id="compare")
    with gr.Row(elem_classes="pair", visible=False) as parts["right"]:
        fitting = models.fitting(second, first.vfm)
        parts["method2"] = gr.Dropdown(offer.methods, value=second, label="Method, right", min_width=100)
        parts["vfm2"] = gr.Dropdown(offer.vfms, value=fitting, label="VFM, right", min_width=100)
    label = "Tiny world: a toy that needs no download and knows drawn scenes only"
    parts["toys"] = gr.Checkbox(toy, label=label, visible=not toy, elem_id="toys")
    return parts


def _numbers(models: Models) -> dict[str, Any]:
    """Background, threshold, beta and gamma."""
    (_, words, threshold), said = work.typed(models.settings), models.settings
    values = USUAL | models.tunable(models.offer().first)
    values |= {name: value for name in TUNED if (value := getattr(said, name)) is not None}
    parts: dict[str, Any] = {}
    with gr.Accordion("Background", open=bool(words or threshold), elem_id="more"):
        parts["background"] = gr.Textbox(words, label="Background words", info=HELP["background"], elem_id="background")
        parts["threshold"] = gr.Slider(
            0, 1, threshold, step=0.01, label="Threshold", info=HELP["threshold"], elem_id="threshold"
        )
    there = bool(models.tunable(models.offer().first))
    with gr.Accordion("Proxy attention", open=True, visible=there, elem_id="numbers") as parts["numbers"]:
        for name, least, most, step in (("beta", 0, 3, 0.05), ("gamma", 0.5, 10, 0.1)):
            parts[name] = gr.Slider(least, most, values[name], step=step, label=name, info=HELP[name], elem_id=name)
    return parts


def _results() -> dict[str, Any]:
    """The line for what went wrong, and the result."""
    return dict(
        message=_html("message", view.message("")),
        rescue=gr.Button("Use the tiny world instead", visible=False, size="sm", elem_id="rescue"),
        result=_html("result", view.welcome(), view.script("viewer")),
    )


def _wire(actions: Actions, part: dict[str, Any]) -> None:
    """One job at a time works with a model; what needs none does not wait for it."""

    def some(names: str) -> list[Any]:
        return [part[name] for name in names.split()]

    asked = some("picture shown toys classes background threshold compare method vfm method2 vfm2 beta gamma")
    run: dict[str, Any] = dict(inputs=asked, outputs=some("message rescue result shown"), **JOB)
    run |= dict(show_progress="full", show_progress_on=part["result"])
    gr.on([part["go"].click, part["classes"].submit, part["background"].submit], actions.segment, **run)
    for name in ("threshold", *TUNED):
        part[name].input(actions.again, trigger_mode="always_last", **run)
    look: dict[str, Any] = dict(inputs=part["shown"], outputs=some("message result"), show_progress="minimal", **JOB)
    part["result"].select(actions.select, **look)
    part["result"].click(actions.click, **look)

    taken = some("file message rescue result picture shown")
    part["file"].upload(actions.upload, some("file shown"), taken, api_visibility="private")
    part["examples"].select(actions.example, some("classes shown"), [*taken, part["classes"]], **QUICK)

    chosen = some("toys compare method vfm method2 vfm2")
    part["compare"].change(lambda on: gr.update(visible=on), part["compare"], part["right"], **QUICK)
    for method, vfm in (("method", "vfm"), ("method2", "vfm2")):
        part[method].input(actions.fit, some(f"toys {method} {vfm}"), part[vfm], **QUICK)
    gr.on([one.change for one in chosen], actions.sliders, chosen, part["numbers"], **QUICK)
    part["toys"].change(actions.world, some("toys classes method method2"), some("vfm vfm2 classes"), **QUICK)
    part["rescue"].click(actions.rescue, None, some("toys message rescue"), **QUICK)
