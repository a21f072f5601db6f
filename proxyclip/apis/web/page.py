"""Controls of the page, their handlers, theme and style sheet."""

import os
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # gradio looks at it when it is imported

import gradio as gr

from proxyclip.apis.web.handlers import PageHandlers
from proxyclip.apis.web.inference import AS_CONFIGURED, TINYWORLD_CLASSES_TEXT, initial_inputs
from proxyclip.apis.web.model_cache import TUNABLE_PARAMS, ModelCache, is_tinyworld_only
from proxyclip.apis.web.render import read_script, render_examples, render_message, render_template
from proxyclip.apis.web.upload_folder import MAX_UPLOAD_SECONDS, SWEEP_SECONDS
from proxyclip.apis.web.waiting_lines import MODEL_LINE, PICTURE_LINE, limit_waiting_lines
from proxyclip.models.registry import list_plugins
from proxyclip.tinyworld import CLASSES

SECONDS_PER_HOUR = 3600
DEFAULT_PROXY_PARAMS = dict(beta=1.2, gamma=3.0)
MODEL_EVENT: dict[str, Any] = dict(concurrency_limit=1, concurrency_id=MODEL_LINE, api_visibility="private")
PICTURE_EVENT: dict[str, Any] = dict(concurrency_limit=1, concurrency_id=PICTURE_LINE, api_visibility="private")
UI_EVENT: dict[str, Any] = dict(show_progress="hidden", queue=False, api_visibility="private")  # nothing of cost
CONTROL_HELP = dict(
    classes='";" between classes, "," between synonyms: horse; grass, lawn; sky',
    background="What everything else is, such as: wall, ceiling. Empty: every pixel gets a class.",
    refine="pamr: sharper edges; regions: no specks; area: whole classes with a small area go, under background words.",
    stretch="For 12 bits in a 16-bit file, and floating-point TIFFs.",
    threshold="Pixels whose best class is less probable become background (other, without background words).",
    beta="Higher: each patch looks at fewer, more similar places.",
    gamma="Higher: the most similar places count for more.",
)
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Noto Sans", "Arial", "sans-serif"]
MONO_FONTS = ["ui-monospace", "SF Mono", "Cascadia Mono", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace"]
THEME_COLORS = dict(  # light and dark
    body_background_fill=("#ffffff", "#12161c"),
    body_text_color=("#1b2330", "#e4e8ee"),
    block_background_fill=("transparent", "transparent"),
    block_label_text_color=("#5b6678", "#9ca8b8"),
    block_info_text_color=("#5b6678", "#9ca8b8"),
    input_background_fill=("#f5f7f9", "#1a2028"),
    input_border_color=("#dde2e9", "#2d3641"),
    button_primary_background_fill=("#1d5fa6", "#2b6cb0"),
    button_primary_background_fill_hover=("#174d88", "#3a7cc2"),
    button_primary_text_color=("#ffffff", ""),
    slider_color=("#1d5fa6", "#74b3f2"),
)


def build_page(models: ModelCache) -> gr.Blocks:
    """Build the page as gradio's blocks."""
    tiny = is_tinyworld_only(models.settings)
    with gr.Blocks(
        title="Segment a picture with your own words",
        fill_width=True,
        analytics_enabled=False,
        delete_cache=(int(SWEEP_SECONDS), int(MAX_UPLOAD_SECONDS)),
    ) as blocks:
        _html("head", render_template("header", toy=tiny, words=len(CLASSES)))
        with gr.Row(elem_id="page"):
            with gr.Column(elem_id="controls", min_width=280):
                controls = _inputs(models, tiny) | _models(models, tiny) | _numbers(models)
            with gr.Column(elem_id="results", min_width=280):
                controls |= _results()
        controls["picture"] = gr.State(None, time_to_live=SECONDS_PER_HOUR)
        controls["shown"] = gr.State("", time_to_live=SECONDS_PER_HOUR)
        _connect_handlers(PageHandlers(models), controls)
    blocks.queue(max_size=None, api_open=False)  # each line has its own length
    limit_waiting_lines(blocks)
    blocks.state_session_capacity = 64
    return blocks


def _html(name: str, text: str, script: str | None = None) -> gr.HTML:
    return gr.HTML(text, elem_id=name, js_on_load=script, apply_default_css=False)


def _described(name: str) -> dict[str, Any]:
    return dict(info=CONTROL_HELP[name], elem_id=name)


def _inputs(models: ModelCache, tiny: bool) -> dict[str, Any]:
    """Image, classes, button."""
    classes = initial_inputs(models.settings)[0] or (TINYWORLD_CLASSES_TEXT if tiny else "")
    return dict(
        file=gr.File(label="Picture", file_types=["image"], height=120, elem_id="file"),
        stretch=gr.Checkbox(models.settings.stretch, label="Stretch", **_described("stretch")),
        examples=_html("examples", render_examples(), read_script("picture")),
        classes=gr.Textbox(
            classes,
            label="What to look for",
            placeholder="horse; grass, lawn; sky",
            max_lines=6,
            **_described("classes"),
        ),
        go=gr.Button("Segment", variant="primary", elem_id="go"),
    )


def _models(models: ModelCache, tiny: bool) -> dict[str, Any]:
    """Method and VFM of one pane, or of two."""
    offer = models.list_available()
    first = offer.first
    second = next(name for name in ("sclip", *offer.methods) if name in offer.methods and name != first.method)
    controls: dict[str, Any] = {}
    with gr.Row(elem_classes="pair"):
        controls["method"] = gr.Dropdown(offer.methods, value=first.method, label="Method", min_width=100)
        controls["vfm"] = gr.Dropdown(offer.vfms, value=first.vfm, label="VFM", min_width=100, elem_id="vfm")
    controls["refine"] = gr.Dropdown(
        (AS_CONFIGURED, "none", *list_plugins("refine")),
        value=AS_CONFIGURED,
        label="Refinement",
        **_described("refine"),
    )
    controls["compare"] = gr.Checkbox(False, label="Compare two", elem_id="compare")
    with gr.Row(elem_classes="pair", visible=False) as controls["right"]:
        vfm = models.fit_vfm(second, first.vfm)
        controls["method2"] = gr.Dropdown(offer.methods, value=second, label="Method, right", min_width=100)
        controls["vfm2"] = gr.Dropdown(offer.vfms, value=vfm, label="VFM, right", min_width=100)
    label = "Tiny world: a toy that needs no download and knows drawn scenes only"
    controls["toys"] = gr.Checkbox(tiny, label=label, visible=not tiny, elem_id="toys")
    return controls


def _numbers(models: ModelCache) -> dict[str, Any]:
    """Background, threshold, beta and gamma."""
    _, background, threshold = initial_inputs(models.settings)
    tunable = models.tunable(models.list_available().first)
    values = DEFAULT_PROXY_PARAMS | tunable
    values |= {name: value for name in TUNABLE_PARAMS if (value := getattr(models.settings, name)) is not None}
    controls: dict[str, Any] = {}
    with gr.Accordion("Background", open=bool(background or threshold), elem_id="more"):
        controls["background"] = gr.Textbox(background, label="Background words", **_described("background"))
        controls["threshold"] = gr.Slider(0, 1, threshold, step=0.01, label="Threshold", **_described("threshold"))
    with gr.Accordion("Proxy attention", open=True, visible=bool(tunable), elem_id="numbers") as controls["numbers"]:
        for name, low, high, step in (("beta", 0, 3, 0.05), ("gamma", 0.5, 10, 0.1)):
            controls[name] = gr.Slider(low, high, values[name], step=step, label=name, **_described(name))
    return controls


def _results() -> dict[str, Any]:
    """Error message and result."""
    return dict(
        message=_html("message", render_message("")),
        rescue=gr.Button("Use the tiny world instead", visible=False, size="sm", elem_id="rescue"),
        result=_html("result", render_template("welcome"), read_script("viewer")),
    )


def _connect_handlers(actions: PageHandlers, controls: dict[str, Any]) -> None:
    """Connect controls and handlers; one handler at a time uses a model."""

    def pick(names: str) -> list[Any]:
        return [controls[name] for name in names.split()]

    request = pick("picture shown toys classes background threshold compare method vfm method2 vfm2 beta gamma refine")
    run: dict[str, Any] = dict(inputs=request, outputs=pick("message rescue result shown"), **MODEL_EVENT)
    run |= dict(show_progress="full", show_progress_on=controls["result"])
    gr.on([controls["go"].click, controls["classes"].submit, controls["background"].submit], actions.segment, **run)
    for name in ("threshold", *TUNABLE_PARAMS):
        controls[name].input(actions.rerun, trigger_mode="always_last", **run)
    controls["refine"].input(actions.rerun, trigger_mode="always_last", **run)
    answer: dict[str, Any] = dict(outputs=pick("message result"), show_progress="minimal", **MODEL_EVENT)
    controls["result"].select(actions.select, controls["shown"], **answer)
    controls["result"].click(actions.click, controls["shown"], **answer)

    uploaded = pick("file message rescue result picture shown")
    controls["file"].upload(actions.upload, pick("file stretch shown"), uploaded, **PICTURE_EVENT)
    controls["stretch"].input(actions.stretch, pick("picture stretch shown"), uploaded, **PICTURE_EVENT)
    drawn = [*uploaded, controls["classes"]]
    controls["examples"].select(actions.example, pick("classes shown"), drawn, **PICTURE_EVENT)

    models = pick("toys compare method vfm method2 vfm2")
    controls["compare"].change(lambda on: gr.update(visible=on), controls["compare"], controls["right"], **UI_EVENT)
    for method, vfm in (("method", "vfm"), ("method2", "vfm2")):
        controls[method].input(actions.models.fit_vfm, pick(f"{method} {vfm} toys"), controls[vfm], **UI_EVENT)
    gr.on([control.change for control in models], actions.toggle_sliders, models, controls["numbers"], **UI_EVENT)
    controls["toys"].change(
        actions.switch_world, pick("toys classes method method2"), pick("vfm vfm2 classes"), **UI_EVENT
    )
    tinyworld = (True, render_message(""), gr.update(visible=False))
    controls["rescue"].click(lambda: tinyworld, None, pick("toys message rescue"), **UI_EVENT)


def build_theme() -> gr.themes.Base:
    """Build the theme: gradio's plain one, with system fonts, so nothing is fetched."""
    theme = gr.themes.Base(
        primary_hue="blue", neutral_hue="slate", text_size="md", radius_size="sm", font=FONTS, font_mono=MONO_FONTS
    )
    light = {name: colors[0] for name, colors in THEME_COLORS.items()}
    dark = {f"{name}_dark": colors[1] for name, colors in THEME_COLORS.items() if colors[1]}
    return theme.set(**light, **dark, block_border_width="0px", block_shadow="none", block_title_text_weight="600")
