"""Looking into each image and label map of a data set, in as many threads as one likes."""

from __future__ import annotations

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
    """What one sample is: its problems, image size (height, width), and pixels of each scored label."""

    name: str
    problems: tuple[FileIssue, ...] = ()
    size: tuple[int, int] | None = None
    pixels: dict[int, int] = field(default_factory=dict)


def inspect_sample(pair: SampleFiles, legal: LabelFormat) -> Inspection:
    """Read both files of a sample to their ends and compare them. Raises nothing: what is wrong is in `problems`."""
    problems: list[FileIssue] = []
    image = _read(pair.image, verify_image, problems)
    labels = None if pair.label is None else _read(pair.label, decode_label_map, problems)
    pixels: dict[int, int] = {}
    if labels is not None:
        if image is not None:
            problems += _compare(pair, image, labels.shape)
        try:
            legal.check(labels, str(pair.label))
        except UnusableFile as error:
            problems.append(error.problem)
        else:
            values, counts = np.unique(legal.apply(labels), return_counts=True)
            pixels = dict(zip(values.tolist(), counts.tolist(), strict=True))
        if pixels.keys() == {legal.ignore}:
            said = "every pixel is ignored: the image does not count"
            problems.append(FileIssue("all ignored", str(pair.label), said, level="note"))
    return Inspection(pair.name, tuple(problems), image.size if image else None, pixels)


def inspect_samples(pairs: Sequence[SampleFiles], legal: LabelFormat, workers: int = 1) -> Iterator[Inspection]:
    """Each pair inspected, in their order. Threads do: nearly all of the time is spent in decoders, outside the GIL."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(inspect_sample, pairs, itertools.repeat(legal))
    finally:
        pool.shutdown(cancel_futures=True)


def sum_label_counts(inspections: Iterable[Inspection]) -> dict[int, tuple[int, int]]:
    """(pixels, images) of each label that occurs in a set."""
    found: dict[int, tuple[int, int]] = {}
    for one in inspections:
        for label, count in one.pixels.items():
            pixels, images = found.get(label, (0, 0))
            found[label] = (pixels + count, images + 1)
    return dict(sorted(found.items()))


def _read(path: Path, decoder: Callable[[bytes, Path], T], problems: list[FileIssue]) -> T | None:
    try:
        return decoder(path.read_bytes(), path)
    except UnusableFile as error:
        problems.append(error.problem)
    except OSError as error:
        said = f"cannot be opened ({error.strerror or error})"
        problems.append(FileIssue("unreadable file", str(path), said, "look at its rights, or get it again"))
    return None


def _compare(pair: SampleFiles, image: ImageInfo, labels: tuple[int, ...]) -> Iterator[FileIssue]:
    shown = f"the label map is {labels[1]} x {labels[0]} pixels, the image {image.size[1]} x {image.size[0]}"
    tag = f"EXIF orientation {image.orientation}"
    if labels == image.size:
        if image.orientation != 1:
            said = f"has {tag}; the evaluation reads it unturned, like its label map"
            yield FileIssue("EXIF orientation", str(pair.image), said, level="note")
    elif image.orientation >= 5 and labels == image.size[::-1]:
        said = f"{shown} with {tag}, which the evaluation does not follow"
        yield FileIssue("turned label map", str(pair.label), said, "save the image upright, without the tag")
    else:
        remedy = "the label map does not belong to the image, or one of them was resized"
        yield FileIssue("sizes differ", str(pair.label), shown, remedy)
