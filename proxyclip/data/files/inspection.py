"""Inspection of every image and label map of a data set, in threads."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from proxyclip.data.files.errors import FileIssue, UnusableFile
from proxyclip.data.files.images import ImageInfo, verify_image
from proxyclip.data.files.labels import LabelFormat, decode_label_map
from proxyclip.data.files.layout import SampleFiles

T = TypeVar("T")


@dataclass(frozen=True)
class Inspection:
    """Issues of a sample, its image size (height, width), pixels of each scored label."""

    name: str
    problems: tuple[FileIssue, ...] = ()
    size: tuple[int, int] | None = None
    pixels: dict[int, int] = field(default_factory=dict)


def inspect_sample(pair: SampleFiles, label_format: LabelFormat) -> Inspection:
    """Read both files of a sample to their ends and compare them; raises nothing."""
    problems: list[FileIssue] = []
    image = _read(pair.image, verify_image, problems)
    labels = None if pair.label is None else _read(pair.label, decode_label_map, problems)
    pixels: dict[int, int] = {}
    if labels is not None:
        if image is not None:
            problems += _compare(pair, image, labels.shape)
        try:
            label_format.check(labels, str(pair.label))
        except UnusableFile as error:
            problems.append(error.problem)
        else:
            values, counts = np.unique(label_format.apply(labels), return_counts=True)
            pixels = dict(zip(values.tolist(), counts.tolist(), strict=True))
        if pixels.keys() == {label_format.ignore}:
            text = "every pixel is ignored: the image does not count"
            problems.append(FileIssue("all ignored", str(pair.label), text, level="note"))
    return Inspection(pair.name, tuple(problems), image.size if image else None, pixels)


def inspect_samples(pairs: Sequence[SampleFiles], label_format: LabelFormat, workers: int = 1) -> Iterator[Inspection]:
    """Inspect samples in their order; the decoders run outside the GIL."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(inspect_sample, pairs, itertools.repeat(label_format))
    finally:
        pool.shutdown(cancel_futures=True)


def sum_label_counts(inspections: Iterable[Inspection]) -> dict[int, tuple[int, int]]:
    """(pixels, images) of each label that occurs in a set."""
    totals: dict[int, tuple[int, int]] = {}
    for inspection in inspections:
        for label, count in inspection.pixels.items():
            pixels, images = totals.get(label, (0, 0))
            totals[label] = (pixels + count, images + 1)
    return dict(sorted(totals.items()))


def _read(path: Path, decoder: Callable[[bytes, Path], T], problems: list[FileIssue]) -> T | None:
    try:
        return decoder(path.read_bytes(), path)
    except UnusableFile as error:
        problems.append(error.problem)
    except OSError as error:
        text = f"cannot be opened ({error.strerror or error})"
        problems.append(FileIssue("unreadable file", str(path), text, "look at its rights, or get it again"))
    return None


def _compare(pair: SampleFiles, image: ImageInfo, labels: tuple[int, ...]) -> Iterator[FileIssue]:
    sizes = f"the label map is {labels[1]} x {labels[0]} pixels, the image {image.size[1]} x {image.size[0]}"
    tag = f"EXIF orientation {image.orientation}"
    if labels == image.size:
        if image.orientation != 1:
            text = f"has {tag}; the evaluation reads it unturned, like its label map"
            yield FileIssue("EXIF orientation", str(pair.image), text, level="note")
    elif image.orientation >= 5 and labels == image.size[::-1]:
        text = f"{sizes} with {tag}, which the evaluation does not follow"
        yield FileIssue("turned label map", str(pair.label), text, "save the image upright, without the tag")
    else:
        remedy = "the label map does not belong to the image, or one of them was resized"
        yield FileIssue("sizes differ", str(pair.label), sizes, remedy)
