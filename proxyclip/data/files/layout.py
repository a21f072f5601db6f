"""Listing of images and label maps, and the issues of file names."""

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
    """Sample: its name (relative, without suffix), image, and label map if any."""

    name: str
    image: Path
    label: Path | None = None


@dataclass(frozen=True)
class DatasetLayout:
    """Folders, list and suffixes of a data set.

    Args:
        images, labels: folders; `labels` is None for images without ground truth.
        names: a file with one name a line; without it every image of the folder, and of folders below it, counts.
        image_suffix, label_suffix: end of the file names. A bare suffix of an image (.jpg) or of a label map (.png)
            also fits the other ones: .jpeg, .JPG, .png and .tif, .tiff.
        without_labels: names that are known to have no label map; they are left out where it is missing.
    """

    images: Path
    labels: Path | None
    names: Path | None = None
    image_suffix: str = ".jpg"
    label_suffix: str = ".png"
    without_labels: frozenset[str] = frozenset()


def find_samples(layout: DatasetLayout) -> tuple[list[SampleFiles], list[FileIssue]]:
    """List samples, in the order of the list, else by name, and issues of the files."""
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
        endings = " or ".join(dict.fromkeys(suffix.lower() for suffix in suffixes))
        place = layout.names or layout.images
        problems.append(FileIssue("no image", str(place), f"has no image (expected names that end in {endings})"))
    return pairs, problems


def count_unlisted_images(layout: DatasetLayout, pairs: Iterable[SampleFiles]) -> int:
    """Number of images in the folder of images that are no samples."""
    images = dict(_all_images(layout.images, _suffixes(layout.image_suffix, IMAGE_SUFFIXES), []))
    return len(images.keys() - {pair.name for pair in pairs})


def _missing_places(layout: DatasetLayout) -> Iterator[FileIssue]:
    named = {
        "the list of images": layout.names,
        "the folder of images": layout.images,
        "the folder of labels": layout.labels,
    }
    for what, place in named.items():
        if place is not None and not (place.is_file() if place is layout.names else place.is_dir()):
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
    cache: dict[Path, frozenset[str]] = {}
    listed: Counter[str] = Counter()
    for number, line in enumerate(lines, 1):
        name = line.strip().replace("\\", "/")
        if not name:
            continue
        image = _find_file(cache, folder / name, suffixes)
        ending = next((suffix for suffix in suffixes if name.endswith(suffix)), None)
        if image is None and ending is not None:  # the list has file names
            name = name.removesuffix(ending)
            image = _find_file(cache, folder / name, suffixes)
        if image is None:
            first = name.split()[0]
            if first != name and _find_file(cache, folder / first, suffixes):
                text = f"line {number} has {name!r}: more than a name"
                problems.append(FileIssue("bad list", str(names), text, "write one name a line"))
            else:
                file = folder / f"{name}{suffixes[0]}"
                text = f"does not exist, but line {number} of {names.name} names it"
                problems.append(FileIssue("missing image", str(file), text, "get the images again, all of them"))
            continue
        listed[name] += 1
        if listed[name] == 2:
            text = f"has the name {name} twice (again in line {number})"
            problems.append(FileIssue("listed twice", str(names), text, "remove the second line"))
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
            text = f"there is also {', '.join(path.name for path in paths[1:])}: two images of one name"
            problems.append(FileIssue("two images", str(paths[0]), text, "leave only the right one in the folder"))
        yield name, paths[0]


def _pair_labels(images: dict[str, Path], layout: DatasetLayout, problems: list[FileIssue]) -> Iterator[SampleFiles]:
    folder = layout.labels
    assert folder is not None
    cache: dict[Path, frozenset[str]] = {}
    suffixes = _suffixes(layout.label_suffix, LABEL_SUFFIXES)
    for name, image in images.items():
        label = _find_file(cache, folder / name, suffixes)
        if label is not None:
            yield SampleFiles(name, image, label)
        elif Path(name).name in layout.without_labels:
            text = "is left out: the annotations are known to lack it"
            problems.append(FileIssue("left out", str(image), text, level="note"))
        else:
            file = folder / f"{name}{suffixes[0]}"
            text = f"does not exist, but there is the image {image.name}"
            remedy = "convert the data set again, or take the image out"
            problems.append(FileIssue("missing label", str(file), text, remedy))
    if layout.names is None:
        for name, label in _all_images(folder, suffixes, []):
            if name not in images:
                remedy = "get the images again, all of them"
                problems.append(FileIssue("missing image", str(label), "has no image", remedy))


def _find_file(cache: dict[Path, frozenset[str]], path: Path, suffixes: tuple[str, ...]) -> Path | None:
    """First of `path` + suffix that is a file, or None; the cache has the names in each folder."""
    folder = path.parent
    if folder not in cache:
        cache[folder] = frozenset(file.name for file in folder.iterdir()) if folder.is_dir() else frozenset()
    name = next((path.name + suffix for suffix in suffixes if path.name + suffix in cache[folder]), None)
    return folder / name if name else None
