"""Results as HTML, from the templates of assets/.

Images and files are data URIs, which a browser shows and saves without another request.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from proxyclip.apis import Segmentation
from proxyclip.apis.export import format_coco_json
from proxyclip.apis.web.inference import EXAMPLE_SCENES, UploadedImage, decode_upload, draw_example
from proxyclip.apis.web.model_cache import NO_VFM
from proxyclip.apis.web.session import PaneResult, compute_agreement
from proxyclip.visualization.figure import image_to_data_uri, make_data_uri, resize_to_range
from proxyclip.visualization.overlay import draw_attention, draw_overlay, draw_probability

ASSETS_DIR = Path(__file__).parent / "assets"
MAX_LABELS_SIDE = 512  # longest side of the label map a browser gets
MAX_PROBE_BARS = 8
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(ASSETS_DIR), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


def read_script(name: str) -> str:
    """Read a component's JavaScript."""
    return (ASSETS_DIR / f"{name}.js").read_text(encoding="utf-8")


def render_template(name: str, /, **values: Any) -> str:
    """Render a template of assets/."""
    return _TEMPLATES.get_template(f"{name}.html.j2").render(**values)


def render_examples() -> str:
    """Render the examples as buttons."""
    uris = [make_data_uri(draw_example(i).data, "image/png") for i in range(len(EXAMPLE_SCENES))]
    return render_template("examples", files=uris)


def render_message(text: str, notes: Sequence[str] = ()) -> str:
    """Render an error message, if not empty, or notes on a result."""
    return render_template("message", text=text, notes=notes)


def render_preview(image: UploadedImage) -> str:
    """Render an image that is not segmented yet."""
    rgb = decode_upload(image)
    photo = encode_jpeg(resize_for_display(rgb))
    return render_template("preview", photo=photo, name=image.name, size=rgb.shape[:2])


def render_segmentation(panes: Sequence[PaneResult]) -> str:
    """Render the classes over the image."""
    return _render_result(panes, [encode_overlay(pane) for pane in panes], "overlay", "Segmentation")


def render_probability(panes: Sequence[PaneResult], index: int) -> str:
    """Render the probability of one class."""
    layers = [encode_jpeg(draw_probability(resize_for_display(pane.segmentation.probability(index)))) for pane in panes]
    name = panes[0].segmentation.names[index]
    return _render_result(panes, layers, "probability", f"Probability of {name}", shown=index)


def render_probe(panes: Sequence[PaneResult], x: int, y: int) -> str:
    """Render the attention and class probabilities of one pixel."""
    probabilities = [pane.segmentation.at(x, y) for pane in panes]
    layers = []
    missing = []
    for pane in panes:
        try:
            attention = pane.segmenter.attention(pane.segmentation.image, x, y)
        except ValueError:
            layers.append(encode_overlay(pane))
            missing.append("no attention map: this method does not take one from the VFM")
        else:
            layers.append(encode_attention(pane.segmentation.image, attention, (x, y)))
            missing.append("")
    names = panes[0].segmentation.names
    scored = range(int(panes[0].has_other), len(names))  # `other` has no probability
    max_probability = np.max(probabilities, axis=0)
    ranked = sorted(scored, key=lambda i: -max_probability[i])
    order = [i for rank, i in enumerate(ranked) if rank < 3 or max_probability[i] >= 0.005][:MAX_PROBE_BARS]
    bars = [(names[i], [float(values[i]) for values in probabilities]) for i in order]
    context: dict[str, Any] = dict(missing=missing, bars=bars, others=len(scored) - len(bars))
    if not all(missing):
        return _render_result(panes, layers, "attention", f"Pixel {x}, {y}: where its patch looks", **context)
    h, w = panes[0].segmentation.labels.shape
    cross = (100 * (x + 0.5) / w, 100 * (y + 0.5) / h)
    return _render_result(panes, layers, "overlay", f"Pixel {x}, {y}", cross=cross, **context)


def _render_result(
    panes: Sequence[PaneResult], layers: list[str], kind: str, title: str, missing: Sequence[str] = (), **context: Any
) -> str:
    """Render all panes; `missing` are notes of panes that lack the layer."""
    panels = [
        dict(
            title=_pane_title(pane, panes),
            note=f"{pane.choice.vfm if pane.choice.vfm != NO_VFM else 'no VFM'}, {pane.seconds:.1f} s",
            photo=_cached(pane, "photo", lambda result: encode_jpeg(resize_for_display(result.image))),
            layer=layer,
            labels=_cached(pane, "labels", lambda result: encode_label_indices(result.labels)),
            size=pane.segmentation.labels.shape,
            missing=note,
        )
        for pane, layer, note in zip(panes, layers, missing or [""] * len(panes), strict=True)
    ]
    return render_template(
        "result",
        panels=panels,
        kind=kind,
        title=title,
        name=panes[0].segmentation.name,
        rows=_class_rows(panes),
        files=[_list_downloads(pane, len(panes) > 1) for pane in panes],
        same=compute_agreement(panes),
        **context,
    )


def _pane_title(pane: PaneResult, panes: Sequence[PaneResult]) -> str:
    """Method, with the VFM if both panes have the same method."""
    method = pane.choice.method
    return f"{method}, {pane.choice.vfm}" if len({each.choice.method for each in panes}) < len(panes) else method


def _class_rows(panes: Sequence[PaneResult]) -> list[dict[str, Any]]:
    """Index, name, color and percent in each pane of every class, largest first."""
    first = panes[0].segmentation
    shares = np.array([[pane.segmentation.areas.get(name, 0.0) for pane in panes] for name in first.names])
    return [
        dict(
            index=i,
            name=first.names[i],
            color=f"#{bytes(first.colors[i]).hex()}",
            shares=shares[i].tolist(),
            has_no_text=panes[0].has_other and i == 0,  # so no probability either
        )
        for i in np.argsort(-shares.max(1), kind="stable").tolist()
    ]


def _list_downloads(pane: PaneResult, several: bool) -> list[tuple[str, str, str]]:
    """Label, file name and data URI of each download."""
    name = pane.segmentation.name
    if several:
        name = "_".join([name, *(re.sub(r"[^\w+-]+", "_", part) for part in (pane.choice.method, pane.choice.vfm))])
    mask = _cached(pane, "mask", lambda result: image_to_data_uri(result.mask(), "png"))
    coco = _cached(pane, "json", lambda result: make_data_uri(format_coco_json(result).encode(), "application/json"))
    return [("Mask (PNG)", f"{name}_mask.png", mask), ("COCO (JSON)", f"{name}.json", coco)]


def _cached(pane: PaneResult, name: str, draw: Callable[[Segmentation], str]) -> str:
    """Draw a data URI once for a pane."""
    if name not in pane.render_cache:
        pane.render_cache[name] = draw(pane.segmentation)
    return pane.render_cache[name]


def encode_overlay(pane: PaneResult) -> str:
    """Encode the classes over the image, with their names, as a JPEG data URI."""

    def draw(segmentation: Segmentation) -> str:
        image = resize_for_display(segmentation.image)
        labels = resize_for_display(segmentation.labels)
        return encode_jpeg(draw_overlay(image, labels, segmentation.names, segmentation.colors, alpha=0.7))

    return _cached(pane, "overlay", draw)


def encode_attention(image: np.ndarray, values: np.ndarray, point: tuple[int, int]) -> str:
    """Encode the attention (H, W) of a point (x, y) over the image; NaN is outside."""
    display = resize_for_display(image)
    x, y = (int((at + 0.5) * display.shape[axis] / image.shape[axis]) for at, axis in zip(point, (1, 0), strict=True))
    return encode_jpeg(draw_attention(display, resize_for_display(values), (x, y)))


def resize_for_display(values: np.ndarray) -> np.ndarray:
    """Resize an image (H, W, 3), or a map (H, W) without interpolation, for display."""
    return resize_to_range(values, min_side=720, max_side=1400)


def encode_label_indices(labels: np.ndarray) -> str:
    """Encode a label map for a browser: the index in red, and its upper byte in green."""
    step = -(-max(labels.shape) // MAX_LABELS_SIDE)
    small = labels[::step, ::step]
    code = np.stack([small & 255, small >> 8, np.zeros_like(small)], -1).astype(np.uint8)
    return image_to_data_uri(Image.fromarray(code), "png")


def encode_jpeg(rgb: np.ndarray) -> str:
    """Encode an image (H, W, 3) for display."""
    return image_to_data_uri(Image.fromarray(rgb), "jpeg", quality=88)
