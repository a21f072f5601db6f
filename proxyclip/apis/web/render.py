"""Results as HTML, from the templates of assets/.

Images and files are data URIs, which a page shows and a browser saves without another request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from proxyclip.apis import Segmentation
from proxyclip.apis.export import format_coco_json
from proxyclip.apis.web.inference import EXAMPLE_SCENES, UploadedImage, decode_upload, draw_example
from proxyclip.apis.web.model_cache import NO_VFM
from proxyclip.apis.web.session import PaneResult, PixelProbe, compute_agreement
from proxyclip.tinyworld import CLASSES
from proxyclip.visualization.figure import image_to_data_uri, make_data_uri, resize_to_range
from proxyclip.visualization.overlay import draw_attention, draw_overlay, draw_probability

ASSETS_DIR = Path(__file__).parent / "assets"
MIN_DISPLAY_SIDE = 720  # longest side in pixels of what is shown
MAX_DISPLAY_SIDE = 1400
MAX_LABELS_SIDE = 512  # longest side of the label map a browser gets
MAX_PROBE_BARS = 8


@dataclass(frozen=True)
class ImagePane:
    """One image with a layer over it, as data URIs; `size` is the full (H, W)."""

    title: str
    note: str
    photo: str
    layer: str
    labels: str
    size: tuple[int, int]
    missing: str = ""


@dataclass(frozen=True)
class ClassShareRow:
    """Index, name, color of a class, and its percent of the image in each pane."""

    index: int
    name: str
    color: str
    shares: tuple[float, ...]
    has_no_text: bool = False  # so no probability either


def read_script(name: str) -> str:
    """Read a component's JavaScript."""
    return (ASSETS_DIR / f"{name}.js").read_text(encoding="utf-8")


def render_header(tiny: bool) -> str:
    """Render the title, in the tiny world with an explanation."""
    return _render("header.html.j2", toy=tiny, words=len(CLASSES))


def render_welcome() -> str:
    """Render the placeholder shown before the first result."""
    return _render("welcome.html.j2")


def render_examples() -> str:
    """Render the examples as buttons."""
    uris = [make_data_uri(draw_example(i).data, "image/png") for i in range(len(EXAMPLE_SCENES))]
    return _render("examples.html.j2", files=uris)


def render_message(text: str, kind: str = "wrong") -> str:
    """Render the line above the result, of kind `wrong` or `note`, if not empty."""
    return _render("message.html.j2", text=text, kind=kind)


def render_preview(image: UploadedImage) -> str:
    """Render an image that is not segmented yet."""
    rgb = decode_upload(image)
    photo = encode_jpeg(resize_for_display(rgb))
    return _render("preview.html.j2", photo=photo, name=image.name, size=rgb.shape[:2])


def render_segmentation(panes: Sequence[PaneResult]) -> str:
    """Render the classes over the image."""
    return _render_result(panes, [encode_overlay(pane) for pane in panes], "overlay", "Segmentation")


def render_probability(panes: Sequence[PaneResult], index: int, values: Sequence[np.ndarray]) -> str:
    """Render the probability of one class. values: (H, W) of each pane."""
    layers = [encode_jpeg(draw_probability(resize_for_display(each))) for each in values]
    name = panes[0].segmentation.names[index]
    return _render_result(panes, layers, "probability", f"Probability of {name}", shown=index)


def render_probe(panes: Sequence[PaneResult], probe: PixelProbe) -> str:
    """Render the attention and class probabilities of one pixel."""
    layers = []
    missing = []
    for pane, attention in zip(panes, probe.attention, strict=True):
        if attention is None:
            layers.append(encode_overlay(pane))
            missing.append("no attention map: this method does not take one from the VFM")
        else:
            layers.append(encode_attention(pane.segmentation.image, attention, (probe.x, probe.y)))
            missing.append("")
    kind = "overlay" if all(missing) else "attention"
    title = f"Pixel {probe.x}, {probe.y}" + (": where its patch looks" if kind == "attention" else "")
    names = panes[0].segmentation.names
    scored = range(int(panes[0].has_other), len(names))  # `other` has no probability
    max_probability = np.max(probe.probabilities, axis=0)
    ranked = sorted(scored, key=lambda i: -max_probability[i])
    order = [i for rank, i in enumerate(ranked) if rank < 3 or max_probability[i] >= 0.005][:MAX_PROBE_BARS]
    bars = [(names[i], [float(each[i]) for each in probe.probabilities]) for i in order]
    cross = None if kind == "attention" else _cross_position(probe, panes[0].segmentation.labels.shape)
    others = len(scored) - len(bars)
    return _render_result(panes, layers, kind, title, missing, bars=bars, cross=cross, others=others)


def _render_result(
    panes: Sequence[PaneResult], layers: list[str], kind: str, title: str, missing: Sequence[str] = (), **context: Any
) -> str:
    panels = [
        ImagePane(
            _title(pane, panes),
            f"{pane.choice.vfm if pane.choice.vfm != NO_VFM else 'no VFM'}, {pane.seconds:.1f} s",
            cached_render(pane, "photo", lambda result: encode_jpeg(resize_for_display(result.image))),
            layer,
            cached_render(pane, "labels", lambda result: encode_label_indices(result.labels)),
            pane.segmentation.labels.shape[:2],
            missing[number] if missing else "",
        )
        for number, (pane, layer) in enumerate(zip(panes, layers, strict=True))
    ]
    return _render(
        "result.html.j2",
        panels=panels,
        kind=kind,
        title=title,
        name=panes[0].segmentation.name,
        rows=_rows(panes),
        files=[_files(pane, len(panes) > 1) for pane in panes],
        same=compute_agreement(list(panes)),
        **context,
    )


def _title(pane: PaneResult, panes: Sequence[PaneResult]) -> str:
    """Method, with the VFM if both panes have the same method."""
    method, vfm = pane.choice.method, pane.choice.vfm
    return f"{method}, {vfm}" if len({each.choice.method for each in panes}) < len(panes) else method


def _rows(panes: Sequence[PaneResult]) -> list[ClassShareRow]:
    first = panes[0].segmentation
    shares = [[pane.segmentation.areas.get(name, 0.0) for name in first.names] for pane in panes]
    order = np.argsort(-np.max(shares, axis=0), kind="stable")
    codes = ["#{:02x}{:02x}{:02x}".format(*color) for color in first.colors.tolist()]
    return [
        ClassShareRow(
            int(i), first.names[i], codes[i], tuple(share[i] for share in shares), panes[0].has_other and i == 0
        )
        for i in order
    ]


def _files(pane: PaneResult, several: bool) -> list[tuple[str, str, str]]:
    """(label, file name, data URI) of each download."""
    name = pane.segmentation.name
    if several:
        name = "_".join([name, *(re.sub(r"[^\w+-]+", "_", part) for part in (pane.choice.method, pane.choice.vfm))])
    return [
        ("Mask (PNG)", f"{name}_mask.png", cached_render(pane, "mask", encode_mask)),
        ("COCO (JSON)", f"{name}.json", cached_render(pane, "json", encode_coco)),
    ]


def _cross_position(probe: PixelProbe, size: tuple[int, ...]) -> tuple[float, float]:
    return 100 * (probe.x + 0.5) / size[1], 100 * (probe.y + 0.5) / size[0]


@cache
def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(ASSETS_DIR)
    return jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values)


def cached_render(pane: PaneResult, kind: str, draw: Callable[[Segmentation], str]) -> str:
    """Return a cached render, or draw and cache it."""
    if kind not in pane.render_cache:
        pane.render_cache[kind] = draw(pane.segmentation)
    return pane.render_cache[kind]


def encode_overlay(pane: PaneResult) -> str:
    """Encode the classes over the image, with their names, as a JPEG data URI."""

    def draw(segmentation: Segmentation) -> str:
        image = resize_for_display(segmentation.image)
        labels = resize_for_display(segmentation.labels)
        return encode_jpeg(draw_overlay(image, labels, segmentation.names, segmentation.colors, alpha=0.7))

    return cached_render(pane, "overlay", draw)


def encode_attention(image: np.ndarray, values: np.ndarray, point: tuple[int, int]) -> str:
    """Encode the attention (H, W) of a point (x, y) over the image; NaN is outside."""
    display = resize_for_display(image)
    (h, w), (display_h, display_w) = image.shape[:2], display.shape[:2]
    display_point = int((point[0] + 0.5) * display_w / w), int((point[1] + 0.5) * display_h / h)
    return encode_jpeg(draw_attention(display, resize_for_display(values), display_point))


def encode_mask(segmentation: Segmentation) -> str:
    """Encode the labels as a PNG of the image's full size."""
    return image_to_data_uri(segmentation.mask(), "png")


def encode_coco(segmentation: Segmentation) -> str:
    """Encode the JSON that `Segmentation.save` writes."""
    return make_data_uri(format_coco_json(segmentation).encode(), "application/json")


def resize_for_display(values: np.ndarray) -> np.ndarray:
    """Resize an image (H, W, 3), or a map (H, W) without interpolation, for display."""
    return resize_to_range(values, MIN_DISPLAY_SIDE, MAX_DISPLAY_SIDE)


def encode_label_indices(labels: np.ndarray) -> str:
    """Encode a label map for a browser: the index in red, and its upper byte in green."""
    step = -(-max(labels.shape) // MAX_LABELS_SIDE)
    small = labels[::step, ::step]
    code = np.stack([small & 255, small >> 8, np.zeros_like(small)], -1).astype(np.uint8)
    return image_to_data_uri(Image.fromarray(code), "png")


def encode_jpeg(rgb: np.ndarray) -> str:
    """Encode an image (H, W, 3) as it is shown."""
    return image_to_data_uri(Image.fromarray(rgb), "jpeg", quality=88)
