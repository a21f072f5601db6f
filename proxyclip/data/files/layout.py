"""Which images and label maps a data set has on disk, and everything that is wrong with the files' names."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from proxyclip.data.files.errors import FileIssue

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")
LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".PNG", ".TIF", ".TIFF")


@dataclass(frozen=True)
class SampleFiles:
    """One sample: its name (relative, without suffix), its image, and its label map if there are any."""

    name: str
    image: Path
    label: Path | None = None


@dataclass(frozen=True)
class DatasetLayout:
    """Where a data set keeps its files.

    Args:
        images, labels: folders; `labels` is None for pictures without ground truth.
        names: a file with one name a line; without it every picture of the folder, and of folders below it, counts.
        image_suffix, label_suffix: what follows a name. A bare suffix of a picture (.jpg) or of a label map (.png)
            also finds the other ones: .jpeg, .JPG, .png and .tif, .tiff.
        without_labels: names that are known to have no label map; they are left out where it is missing.
    """

    images: Path
    labels: Path | None
    names: Path | None = None
    image_suffix: str = ".jpg"
    label_suffix: str = ".png"
    without_labels: frozenset[str] = frozenset()


def find_samples(layout: DatasetLayout) -> tuple[list[SampleFiles], list[FileIssue]]:
    """The samples in the order of the list, else by name, and what is wrong. Missing places end the search."""
    problems = list(_missing_places(layout))
    if problems:
        return [], problems
    suffixes = _suffixes(layout.image_suffix, IMAGE_SUFFIXES)
    if layout.names is not None:
        images = dict(_listed_images(layout.names, layout.images, suffixes, problems))
    else:
        images = dict(_all_images(layout.images, suffixes, problems))
    if layout.labels is None:
        pairs = [SampleFiles(name, image) for name, image in images.items()]
    else:
        pairs = list(_pair_labels(images, layout, problems))
    if not images and not problems:
        shown = " or ".join(dict.fromkeys(suffix.lower() for suffix in suffixes))
        place = layout.names or layout.images
        problems.append(FileIssue("no image", str(place), f"has no image (expected names that end in {shown})"))
    return pairs, problems


def count_unlisted_images(layout: DatasetLayout, pairs: Iterable[SampleFiles]) -> int:
    """How many pictures lie in the folder of images without being samples."""
    images = dict(_all_images(layout.images, _suffixes(layout.image_suffix, IMAGE_SUFFIXES), []))
    return len(images.keys() - {pair.name for pair in pairs})


def _missing_places(layout: DatasetLayout) -> Iterator[FileIssue]:
    named = {
        "the list of images": layout.names,
        "the folder of images": layout.images,
        "the folder of labels": layout.labels,
    }
    for what, place in named.items():
        wanted = place is not None and (place.is_file() if place is layout.names else place.is_dir())
        if place is not None and not wanted:
            yield FileIssue("missing place", str(place), f"{what} does not exist")


def _suffixes(suffix: str, alike: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((suffix, *alike))) if suffix in alike else (suffix,)


def _listed_images(
    names: Path, folder: Path, suffixes: tuple[str, ...], problems: list[FileIssue]
) -> Iterator[tuple[str, Path]]:
    try:
        lines = names.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        problems.append(FileIssue("bad list", str(names), "is not UTF-8 text", "write it again, one name a line"))
        return
    here = _Folders()
    found: Counter[str] = Counter()
    for number, line in enumerate(lines, 1):
        name = line.strip().replace("\\", "/")
        if not name:
            continue
        image = here.first(folder, name, suffixes)
        ending = next((suffix for suffix in suffixes if name.endswith(suffix)), None)
        if image is None and ending is not None:  # the list has file names
            name = name.removesuffix(ending)
            image = here.first(folder, name, suffixes)
        if image is None:
            first = name.split()[0]
            if first != name and here.first(folder, first, suffixes):
                said = f"line {number} has {name!r}: more than a name"
                problems.append(FileIssue("bad list", str(names), said, "write one name a line"))
            else:
                file = folder / f"{name}{suffixes[0]}"
                said = f"does not exist, but line {number} of {names.name} names it"
                problems.append(FileIssue("missing image", str(file), said, "get the images again, all of them"))
            continue
        found[name] += 1
        if found[name] == 2:
            said = f"has the name {name} twice (again in line {number})"
            problems.append(FileIssue("listed twice", str(names), said, "remove the second line"))
        yield name, image


def _all_images(folder: Path, suffixes: tuple[str, ...], problems: list[FileIssue]) -> Iterator[tuple[str, Path]]:
    named: dict[str, list[Path]] = defaultdict(list)
    for place, _, files in os.walk(folder, followlinks=True):
        for file in sorted(files):
            suffix = next((suffix for suffix in suffixes if file.endswith(suffix)), None)
            if suffix is not None and file != suffix and not file.startswith("."):
                path = Path(place, file)
                named[path.relative_to(folder).as_posix().removesuffix(suffix)].append(path)
    for name, paths in sorted(named.items(), key=lambda item: item[1]):
        if len(paths) > 1:
            said = f"there is also {', '.join(path.name for path in paths[1:])}: two images of one name"
            problems.append(FileIssue("two images", str(paths[0]), said, "leave only the right one in the folder"))
        yield name, paths[0]


def _pair_labels(images: dict[str, Path], layout: DatasetLayout, problems: list[FileIssue]) -> Iterator[SampleFiles]:
    folder = layout.labels
    assert folder is not None
    here, suffixes = _Folders(), _suffixes(layout.label_suffix, LABEL_SUFFIXES)
    for name, image in images.items():
        label = here.first(folder, name, suffixes)
        if label is not None:
            yield SampleFiles(name, image, label)
        elif Path(name).name in layout.without_labels:
            said = "is left out: the annotations are known to lack it"
            problems.append(FileIssue("left out", str(image), said, level="note"))
        else:
            file = folder / f"{name}{suffixes[0]}"
            said = f"does not exist, but there is the image {image.name}"
            problems.append(
                FileIssue("missing label", str(file), said, "convert the data set again, or take the image out")
            )
    if layout.names is None:
        for name, label in _all_images(folder, suffixes, []):
            if name not in images:
                said = "has no image"
                problems.append(FileIssue("missing image", str(label), said, "get the images again, all of them"))


class _Folders:
    """Remembers what lies in each folder, so that thousands of names cost one look at it."""

    def __init__(self) -> None:
        self._seen: dict[Path, frozenset[str]] = {}

    def first(self, folder: Path, name: str, suffixes: tuple[str, ...]) -> Path | None:
        """The first of `name` + suffix that is a file in `folder`, or None."""
        place = (folder / name).parent
        if place not in self._seen:
            inside = place.iterdir() if place.is_dir() else ()
            self._seen[place] = frozenset(path.name for path in inside)
        last = name.rpartition("/")[2]
        there = next((last + suffix for suffix in suffixes if last + suffix in self._seen[place]), None)
        return place / there if there else None
