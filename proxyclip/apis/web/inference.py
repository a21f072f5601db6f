"""Inference for the page: uploaded images, examples, segmentation requests."""

import dataclasses
import io
import re
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image

from proxyclip.apis.classes import parse_class_query, split_classes
from proxyclip.apis.images import to_rgb_array
from proxyclip.apis.web.model_cache import ModelCache, ModelChoice
from proxyclip.apis.web.session import PaneResult
from proxyclip.apis.web.settings import WebSettings
from proxyclip.data.vocabulary import read_vocabulary
from proxyclip.tinyworld.scenes import CLASSES, draw_seeded_scene

MAX_MEGAPIXELS = 40
MAX_CLASS_NAMES = 1000  # synonyms included
TINYWORLD_CLASSES_TEXT = "; ".join(CLASSES)
EXAMPLE_SCENES = ((21, 0), (2, 5), (2, 17), (7, 3))  # scenes of the tiny world: seed and number


@dataclass(frozen=True)
class UploadedImage:
    """Image of a session: its name, and the bytes of its file as uploaded."""

    name: str
    data: bytes


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


def segment_panes(
    models: ModelCache,
    image: UploadedImage | None,
    choices: Sequence[ModelChoice],
    classes: str,
    background: str = "",
    threshold: float = 0.0,
    **params: float,
) -> list[PaneResult]:
    """Segment an image with the models of every pane.

    Args:
        classes, background: text of the boxes.
        params: values of the sliders; those that a method does not have are left out.

    Raises:
        ValueError: no image, no classes, too many, or models that do not go together. WeightsError: see `ModelCache`.
    """
    if image is None:
        raise ValueError("Choose a picture first: drop one above, or take an example")
    names = split_classes(classes)  # always a list: text that ends in .txt would be read as a file
    if not names:
        raise ValueError('Say what to look for: one or more classes, such as "horse; grass; sky"')
    query_arguments = (names, (background or "").strip(" ,;\n") or None, threshold)
    query = parse_class_query(*query_arguments)
    if len(query.vocabulary.names) > MAX_CLASS_NAMES:
        raise ValueError(f"Expected at most {MAX_CLASS_NAMES} names, but got {len(query.vocabulary.names)}")
    for choice in choices:
        models.check(choice)
    rgb = decode_upload(image)
    panes = []
    with models.lock:
        for choice in choices:
            segmenter = models.segmenter(choice)
            start = time.perf_counter()
            segmenter.set_classes(*query_arguments)
            segmenter.tune(**{name: value for name, value in params.items() if name in segmenter.tunable})
            segmentation = dataclasses.replace(segmenter(rgb), name=image.name)
            panes.append(PaneResult(choice, segmenter, segmentation, time.perf_counter() - start, query.has_other))
    return panes


def initial_inputs(settings: WebSettings) -> tuple[str, str, float]:
    """Return classes, background and threshold of the command line for the controls.

    Raises:
        ValueError: a vocabulary file that cannot be read as one.
    """
    classes = settings.classes or ""
    background = settings.background or ""
    if classes and Path(classes).is_file():
        lines = [", ".join(names) for names in read_vocabulary(Path(classes)).classes]
        classes = "; ".join(lines) + ";" * (len(lines) == 1)  # alone, commas would be between classes
    try:
        return classes, "", float(background)
    except ValueError:
        return classes, background, settings.threshold
