"""Inspection of every image and label map of a data set, in threads."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from proxyclip.data.files.errors import FileIssue, UnusableFile
from proxyclip.data.files.image_files import check_image_bytes
from proxyclip.data.files.images import ImageInfo, verify_image
from proxyclip.data.files.label_counts import LabelCounts, count_label_values
from proxyclip.data.files.label_maps import decode_label_map
from proxyclip.data.files.labels import LabelFormat
from proxyclip.data.files.layout import SampleFiles

T = TypeVar("T")


@dataclass(frozen=True)
class Inspection:
    """Issues of a sample, its image size (height, width), pixels of each value of its labels."""

    name: str
    problems: tuple[FileIssue, ...] = ()
    size: tuple[int, int] | None = None
    pixels: dict[int, int] = field(default_factory=dict)


def inspect_sample(
    pair: SampleFiles, label_format: LabelFormat, image_options: Mapping[str, Any] | None = None
) -> Inspection:
    """Read both files of a sample to their ends and compare them; raises nothing.

    Args:
        image_options: `stretch` and `max_megapixels` of `verify_image`.
    """
    problems: list[FileIssue] = []
    options = dict(image_options or {})
    limit = options.get("max_megapixels")
    decode_labels = partial(decode_label_map, max_megapixels=limit)
    image = _read(pair.image, partial(verify_image, **options), problems, limit)
    labels = None if pair.label is None else _read(pair.label, decode_labels, problems, limit)
    problems += image.notes if image is not None else ()
    pixels: dict[int, int] = {}
    if labels is not None:
        if image is not None:
            problems += _compare(pair, image, labels.shape)
        pixels = count_label_values(labels)
        try:
            label_format.check(labels, str(pair.label))
        except UnusableFile as error:
            problems.append(error.problem)
        if all(label_format.is_legal(value) and not label_format.is_class(value) for value in pixels):
            text = "every pixel is ignored: the image does not count"
            problems.append(FileIssue("all ignored", str(pair.label), text, level="note"))
    return Inspection(pair.name, tuple(problems), image.size if image else None, pixels)


def inspect_samples(
    pairs: Sequence[SampleFiles],
    label_format: LabelFormat,
    workers: int = 1,
    image_options: Mapping[str, Any] | None = None,
) -> Iterator[Inspection]:
    """Inspect samples in their order; the decoders run outside the GIL."""
    pool = ThreadPoolExecutor(workers)
    try:
        inspect = partial(inspect_sample, label_format=label_format, image_options=image_options)
        yield from pool.map(inspect, pairs)
    finally:
        pool.shutdown(cancel_futures=True)


def sum_label_counts(pairs: Iterable[SampleFiles], inspections: Iterable[Inspection]) -> LabelCounts:
    """Sum the values of the label maps that could be read."""
    counts = LabelCounts()
    for pair, inspection in zip(pairs, inspections, strict=True):
        if inspection.pixels:
            counts.add(str(pair.label), inspection.pixels)
    return counts


def count_labels(
    pairs: Sequence[SampleFiles], workers: int = 1, max_megapixels: float | None = None
) -> tuple[LabelCounts, list[FileIssue]]:
    """Count the values of label maps without reading the images; bad files are issues."""

    def read(pair: SampleFiles) -> tuple[SampleFiles, dict[int, int], list[FileIssue]]:
        problems: list[FileIssue] = []
        decode = partial(decode_label_map, max_megapixels=max_megapixels)
        labels = None if pair.label is None else _read(pair.label, decode, problems, max_megapixels)
        return pair, {} if labels is None else count_label_values(labels), problems

    counts, issues = LabelCounts(), list[FileIssue]()
    with ThreadPoolExecutor(workers) as pool:
        for pair, pixels, problems in pool.map(read, pairs):
            issues += problems
            if pixels:
                counts.add(str(pair.label), pixels)
    return counts, issues


def _read(
    path: Path, decoder: Callable[[bytes, Path], T], problems: list[FileIssue], max_megapixels: float | None
) -> T | None:
    try:
        check_image_bytes(path, max_megapixels)
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
