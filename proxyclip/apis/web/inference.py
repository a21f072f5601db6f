"""Inference for the page: uploaded images, examples, segmentation requests."""

from __future__ import annotations

import dataclasses
import io
import re
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image

from proxyclip.apis.classes import parse_class_query, split_classes
from proxyclip.apis.images import to_rgb_array
from proxyclip.apis.web.model_cache import TUNABLE_PARAMS, ModelCache, ModelChoice
from proxyclip.apis.web.session import PaneResult, PixelProbe
from proxyclip.apis.web.settings import WebSettings
from proxyclip.data.vocabulary import read_vocabulary
from proxyclip.tinyworld.scenes import CLASSES, draw_seeded_scene

MAX_MEGAPIXELS = 40
MAX_CLASS_NAMES = 1000  # synonyms included
TINYWORLD_CLASSES_TEXT = "; ".join(CLASSES)
EXAMPLE_SCENES = ((21, 0), (2, 5), (2, 17), (7, 3))  # scenes of the tiny world: seed and number


@dataclass(frozen=True)
class UploadedImage:
    """An image of the session: its name, and the bytes of its file as uploaded."""

    name: str
    data: bytes


@dataclass(frozen=True)
class SegmentRequest:
    """Values of the controls when the button is pressed.

    Attributes:
        classes, background: text of the boxes.
        panes: the models of each pane.
        params: names and values of the sliders.
    """

    classes: str
    background: str
    threshold: float
    panes: tuple[ModelChoice, ...]
    params: tuple[tuple[str, float], ...] = ()


def read_upload(path: str | Path) -> UploadedImage:
    """Read an uploaded file.

    Raises:
        OSError, ValueError: a file that is no image, is damaged, or has too many pixels.
    """
    path = Path(path)
    image = UploadedImage(re.sub(r"[^\w.-]+", "_", path.stem)[:80] or "image", path.read_bytes())
    decode_upload(image)
    return image


def draw_example(number: int) -> UploadedImage:
    """Draw an example, a scene of the tiny world, as an uploaded image."""
    if not 0 <= number < len(EXAMPLE_SCENES):
        raise ValueError(f"Expected an example from 0 to {len(EXAMPLE_SCENES) - 1}, but got {number}")
    file = io.BytesIO()
    PIL.Image.fromarray(draw_seeded_scene(*EXAMPLE_SCENES[number]).image).save(file, "PNG")
    return UploadedImage(f"scene_{number + 1}", file.getvalue())


def format_example_classes(number: int) -> str:
    """Format the classes of an example as text for the box of classes."""
    return "; ".join(draw_seeded_scene(*EXAMPLE_SCENES[number]).contents)


def decode_upload(image: UploadedImage) -> np.ndarray:
    """Decode to (H, W, 3) uint8 RGB; the size is checked first.

    Raises:
        OSError, ValueError: as `read_upload`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PIL.Image.open(io.BytesIO(image.data)) as file:
                width, height = file.size
    except PIL.Image.DecompressionBombError:
        raise ValueError(f"The picture has more than {MAX_MEGAPIXELS} megapixels: reduce it first") from None
    except (OSError, SyntaxError, ValueError):
        raise ValueError("This file cannot be read as a picture: give a JPEG, PNG, WebP or TIFF") from None
    if width * height > MAX_MEGAPIXELS * 1e6:
        raise ValueError(
            f"The picture has {width} x {height} pixels, {width * height / 1e6:.0f} megapixels, but at most "
            f"{MAX_MEGAPIXELS} can be segmented here: reduce it first"
        )
    try:
        return to_rgb_array(image.data)
    except OSError as error:
        reason = str(error).removeprefix("the given bytes").lstrip(": ")
        raise ValueError(f"The picture {image.name} {reason}") from None


def segment_panes(models: ModelCache, image: UploadedImage | None, request: SegmentRequest) -> list[PaneResult]:
    """Segment an image in every pane.

    Raises:
        ValueError: no image, no classes, too many, or models that do not go together. WeightsError: see `ModelCache`.
    """
    if image is None:
        raise ValueError("Choose a picture first: drop one above, or take an example")
    classes = split_classes(request.classes)  # always a list: text that ends in .txt would be read as a file
    if not classes:
        raise ValueError('Say what to look for: one or more classes, such as "horse; grass; sky"')
    query = parse_class_query(classes, split_background(request.background) or None, request.threshold)
    if len(query.vocabulary.names) > MAX_CLASS_NAMES:
        raise ValueError(f"Expected at most {MAX_CLASS_NAMES} names, but got {len(query.vocabulary.names)}")
    for choice in request.panes:
        models.check(choice)
    rgb = decode_upload(image)
    with models.lock:
        panes = [_segment_pane(models, image.name, rgb, request, choice) for choice in request.panes]
    return [dataclasses.replace(pane, has_other=query.has_other) for pane in panes]


def initial_inputs(settings: WebSettings) -> tuple[str, str, float]:
    """Return classes, background and threshold of the command line for the controls.

    Raises:
        ValueError: a vocabulary file that cannot be read as one.
    """
    classes, background, threshold = settings.classes or "", settings.background or "", settings.threshold
    if classes and Path(classes).is_file():
        lines = [", ".join(names) for names in read_vocabulary(Path(classes)).classes]
        classes = "; ".join(lines) + ";" * (len(lines) == 1)  # alone, commas would be between classes
    try:
        return classes, "", float(background)
    except ValueError:
        return classes, background, threshold


def split_background(text: str) -> list[str]:
    """Split background names at commas, semicolons and line ends."""
    return [name.strip() for name in re.split(r"[,;\n]", text or "") if name.strip()]


def probe_pixel(models: ModelCache, panes: list[PaneResult], x: int, y: int) -> PixelProbe:
    """Compute class probabilities and the attention map of one pixel in every pane.

    Raises:
        ValueError: outside of the image.
    """
    with models.lock:
        probabilities = [pane.segmentation.at(x, y) for pane in panes]
        return PixelProbe(x, y, probabilities, [_attention_or_none(pane, x, y) for pane in panes])


def compute_pane_probabilities(models: ModelCache, panes: list[PaneResult], index: int) -> list[np.ndarray]:
    """Compute the probability (H, W) of one class in every pane.

    Raises:
        ValueError: no such class.
    """
    with models.lock:
        return [pane.segmentation.probability(index) for pane in panes]


def _segment_pane(
    models: ModelCache, name: str, rgb: np.ndarray, request: SegmentRequest, choice: ModelChoice
) -> PaneResult:
    segmenter = models.segmenter(choice)
    start = time.perf_counter()
    background = split_background(request.background) or None
    segmenter.set_classes(split_classes(request.classes), background, request.threshold)
    params = {name: value for name, value in request.params if name in TUNABLE_PARAMS and name in segmenter.tunable}
    if params:
        segmenter.tune(**params)
    segmentation = dataclasses.replace(segmenter(rgb), name=name)
    return PaneResult(choice, segmenter, segmentation, time.perf_counter() - start)


def _attention_or_none(pane: PaneResult, x: int, y: int) -> np.ndarray | None:
    """Attention map of a pixel (NaN outside of its window), None without one."""
    try:
        return pane.segmenter.attention(pane.segmentation.image, x, y)
    except ValueError:
        return None
