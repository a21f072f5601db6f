"""Inference for the page: uploaded images, examples, segmentation requests."""

import dataclasses
import io
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image

from proxyclip.apis.classes import describe_classes, parse_class_query
from proxyclip.apis.images import load_image
from proxyclip.apis.web.model_cache import ModelCache, ModelChoice
from proxyclip.apis.web.session import PaneResult
from proxyclip.apis.web.settings import WebSettings
from proxyclip.data.class_lists.limits import check_class_limits, check_text_length
from proxyclip.data.class_lists.shared_texts import shorten_name
from proxyclip.data.class_lists.text import (
    ClassText,
    is_class_file,
    parse_background_text,
    parse_class_text,
    quote_name,
)
from proxyclip.data.files.brightness import STRETCH_REMEDY
from proxyclip.data.files.errors import UnusableFile
from proxyclip.data.vocabulary import read_vocabulary
from proxyclip.models.registry import list_plugins
from proxyclip.tinyworld.scenes import CLASSES, draw_seeded_scene
from proxyclip.utils.paths import find_existing_path
from proxyclip.utils.probability import parse_probability

MAX_MEGAPIXELS = 40
AS_CONFIGURED = "as configured"
MAX_CLASS_NAMES = 1000  # of both boxes, synonyms included
MAX_NAME_LETTERS = 200
MAX_TEXT_LETTERS = 100_000
TINYWORLD_CLASSES_TEXT = "; ".join(CLASSES)
_DECODING = threading.Lock()  # one picture at a time: of 40 megapixels, a few more bytes each may be a GB
EXAMPLE_SCENES = ((21, 0), (2, 5), (2, 17), (7, 3))  # scenes of the tiny world: seed and number


@dataclass(frozen=True)
class UploadedImage:
    """Image of a session: its name, and the bytes of its file as uploaded."""

    name: str
    data: bytes
    stretch: bool = False
    notes: tuple[str, ...] = ()


def read_upload(path: str | Path, stretch: bool = False) -> UploadedImage:
    """Read an uploaded file.

    Args:
        stretch: spread values of more than 8 bits over the range.

    Raises:
        OSError, ValueError: a file that is no image, is damaged, or has too many pixels.
    """
    path = Path(path)
    image = UploadedImage(re.sub(r"[^\w.-]+", "_", path.stem)[:80] or "image", path.read_bytes())
    return stretch_upload(image, stretch)


def stretch_upload(image: UploadedImage, stretch: bool) -> UploadedImage:
    """Return an image with its values stretched or not, with its notes; raises as `read_upload`."""
    image = dataclasses.replace(image, stretch=stretch)
    return dataclasses.replace(image, notes=_load_upload(image)[1])


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
    return _load_upload(image)[0]


def _load_upload(image: UploadedImage) -> tuple[np.ndarray, tuple[str, ...]]:
    try:
        with _DECODING:
            rgb, notes = load_image(image.data, stretch=image.stretch, max_megapixels=MAX_MEGAPIXELS)
    except UnusableFile as error:
        problem = error.problem
        remedy = "reduce it first" if problem.kind == "too many pixels" else _adapt_remedy(problem.remedy)
        raise ValueError(f"The picture {image.name} {problem.text}: {remedy}") from None
    return rgb, tuple(_adapt_remedy(note).replace("the given bytes:", f"The picture {image.name}") for note in notes)


def _adapt_remedy(text: str) -> str:
    return text.replace(STRETCH_REMEDY, 'tick "Stretch" to spread them')


def segment_panes(
    models: ModelCache,
    image: UploadedImage | None,
    choices: Sequence[ModelChoice],
    classes: str,
    background: str = "",
    threshold: float = 0.0,
    refine: str = AS_CONFIGURED,
    **params: float,
) -> list[PaneResult]:
    """Segment an image with the models of every pane.

    Args:
        classes, background: text of the boxes.
        refine: a step, `none`, or AS_CONFIGURED: those of the command line or the config.
        params: values of the sliders; those that a method does not have are left out.

    Raises:
        ValueError: no image, no classes, too many, or models that do not go together. WeightsError: see `ModelCache`.
    """
    if image is None:
        raise ValueError("Choose a picture first: drop one above, or take an example")
    text, background_names = parse_page_classes(classes, background or "")
    query_arguments = (text.classes, background_names, threshold)
    query = parse_class_query(*query_arguments, lower=False)  # each pane's CLIP says what is one text for it
    for choice in choices:
        models.check(choice)
    check_refine(refine)
    panes = []
    with models.lock:
        rgb = decode_upload(image)
        for choice in choices:
            segmenter = models.segmenter(choice)
            start = time.perf_counter()
            segmenter.set_classes(*query_arguments)
            if refine != AS_CONFIGURED:
                segmenter.set_refine(refine)
            segmenter.tune(**{name: value for name, value in params.items() if name in segmenter.tunable})
            segmentation = dataclasses.replace(segmenter(rgb), name=image.name)
            seconds = time.perf_counter() - start
            notes = (describe_classes(query), *dict.fromkeys((*text.notes, *segmenter.notes, *image.notes)))
            if segmentation.dropped:
                notes += (f"{choice.method}: its refinement dropped {', '.join(segmentation.dropped)}",)
            panes.append(PaneResult(choice, segmenter, segmentation, seconds, query.has_other, notes))
    return panes


def parse_page_classes(classes: str, background: str) -> tuple[ClassText, float | list[str] | None]:
    """Parse the texts of both boxes, within the limits of the page.

    Returns:
        The classes, as a list, for text that ends in .txt would be read as a file; the background.

    Raises:
        ValueError: no classes, or a text that cannot be read. TooManyNames: too long a text, too many or too long
            names.
    """
    background = background.strip(" ,;\n")
    for text, place in ((classes, "the box of classes"), (background, "the background's box")):
        check_text_length(text, place, MAX_TEXT_LETTERS)
    parsed = parse_class_text(classes)
    if not parsed.classes:
        raise ValueError('Say what to look for: one or more classes, such as "horse; grass; sky"')
    behind = parse_background_text(background) if background else None
    listed = [*parsed.classes, behind] if isinstance(behind, list) else parsed.classes
    check_class_limits(listed, "the boxes", MAX_CLASS_NAMES, MAX_NAME_LETTERS)
    return parsed, behind


def check_refine(refine: str) -> None:
    """Raise ValueError for a refinement that is not in the list of the page."""
    known = (AS_CONFIGURED, "none", *list_plugins("refine"))
    if refine not in known:
        raise ValueError(f"Expected a refinement of the list, {', '.join(known)}, but got {shorten_name(str(refine))}")


def initial_inputs(settings: WebSettings) -> tuple[str, str, float]:
    """Return classes, background and threshold of the command line for the controls.

    Raises:
        FileNotFoundError: a vocabulary file that does not exist. ValueError: one that cannot be read as such, or a
            number as background that is no probability.
    """
    classes = settings.classes or ""
    background = settings.background or ""
    if is_class_file(classes):
        file = find_existing_path(classes, "file of classes")
        lines = [", ".join(map(quote_name, names)) for names in read_vocabulary(file).classes]
        classes = "; ".join(lines) + ";" * (len(lines) == 1)  # alone, commas would be between classes
    number = parse_probability(background)
    return (classes, background, settings.threshold) if number is None else (classes, "", number)
