"""Listing of images and label maps, and the issues of file names."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from proxyclip.data.files.errors import FileIssue
from proxyclip.data.files.folder_index import UNREADABLE_SUFFIXES, FolderIndex
from proxyclip.utils.file_limits import MEGABYTE, FileTooLarge, read_limited_bytes
from proxyclip.utils.formats import format_size
from proxyclip.utils.paths import normalize_file_name, walk_folder

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
# Of images whose name has none of those.
MORE_IMAGE_SUFFIXES = (".jfif", ".jpe", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".jp2")
LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
MAX_LIST_BYTES = 200 * MEGABYTE  # of a list of images: 4 million names
READABLE_SUFFIXES = (*IMAGE_SUFFIXES, *MORE_IMAGE_SUFFIXES)


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
            also fits the other ones: .jpeg, .png, and where there is none of them .webp, .bmp, .tif, ...; of label
            maps .tif, .tiff, .bmp. Upper and lower case are the same, and so are composed and decomposed letters.
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
    suffixes = _image_suffixes(layout)
    if layout.names is not None:
        images = dict(_listed_images(layout.names, layout.images, suffixes, problems))
    else:
        images = dict(_all_images(layout.images, suffixes, problems))
    if layout.labels is None:
        pairs = [SampleFiles(name, image) for name, image in images.items()]
    else:
        pairs = list(_pair_labels(images, layout, problems))
    if not images and not any(problem.level == "error" for problem in problems):
        endings = " or ".join(dict.fromkeys(suffix.lower() for suffix in suffixes))
        place = layout.names or layout.images
        problems.append(FileIssue("no image", str(place), f"has no image (expected names that end in {endings})"))
    return pairs, problems


def count_unlisted_images(layout: DatasetLayout, pairs: Iterable[SampleFiles]) -> int:
    """Number of images in the folder of images that are no samples."""
    images = {path for _, path in _all_images(layout.images, _image_suffixes(layout), [])}
    return len(images - {pair.image for pair in pairs})


def _missing_places(layout: DatasetLayout) -> Iterator[FileIssue]:
    named = {
        "the list of images": layout.names,
        "the folder of images": layout.images,
        "the folder of labels": layout.labels,
    }
    for what, place in named.items():
        if place is not None and not (place.is_file() if place is layout.names else place.is_dir()):
            yield FileIssue("missing place", str(place), f"{what} does not exist")


def _image_suffixes(layout: DatasetLayout) -> tuple[str, ...]:
    suffix = layout.image_suffix
    return (suffix, *READABLE_SUFFIXES) if suffix.lower() in IMAGE_SUFFIXES else (suffix,)


def _label_suffixes(layout: DatasetLayout) -> tuple[str, ...]:
    suffix = layout.label_suffix
    return (suffix, *LABEL_SUFFIXES) if suffix.lower() in LABEL_SUFFIXES else (suffix,)


def _normalize_suffix(suffix: str) -> str:
    return normalize_file_name(f"x{suffix}")[1:]


def _listed_images(
    names: Path, folder: Path, suffixes: tuple[str, ...], problems: list[FileIssue]
) -> Iterator[tuple[str, Path]]:
    try:
        lines = read_limited_bytes(names, MAX_LIST_BYTES, "a list of images").decode("utf-8-sig").splitlines()
    except FileTooLarge:
        text = f"has more than the {format_size(MAX_LIST_BYTES, exact=True)} of a list"
        problems.append(FileIssue("bad list", str(names), text, "is it the right file? It has one name a line"))
        return
    except UnicodeDecodeError:
        problems.append(FileIssue("bad list", str(names), "is not UTF-8 text", "write it again, one name a line"))
        return
    index = FolderIndex()
    listed: Counter[str] = Counter()
    for number, line in enumerate(lines, 1):
        name = line.strip().replace("\\", "/")
        if not name:
            continue
        image = index.find(folder / name, suffixes)
        ending = next((suffix for suffix in suffixes if name.lower().endswith(suffix.lower())), None)
        if image is None and ending is not None:  # the list has file names
            name = name[: -len(ending)]
            image = index.find(folder / name, suffixes)
        if image is None:
            first = name.split()[0]
            if first != name and index.find(folder / first, suffixes):
                text = f"line {number} has {name!r}: more than a name"
                problems.append(FileIssue("bad list", str(names), text, "write one name a line"))
            else:
                file = folder / f"{name}{suffixes[0]}"
                text = f"does not exist, but line {number} of {names.name} names it"
                remedy = index.explain(folder / name, "img_suffix", READABLE_SUFFIXES)
                remedy = remedy or "get the images again, all of them"
                problems.append(FileIssue("missing image", str(file), text, remedy))
            continue
        listed[name] += 1
        if listed[name] == 2:
            text = f"has the name {name} twice (again in line {number})"
            problems.append(FileIssue("listed twice", str(names), text, "remove the second line"))
        yield name, image


def _all_images(folder: Path, suffixes: tuple[str, ...], problems: list[FileIssue]) -> Iterator[tuple[str, Path]]:
    """Yield name and file of every image; of other forms than JPEG and PNG if it is the only one of its name."""
    groups: dict[str, list[Path]] = defaultdict(list)
    more_groups: dict[str, list[Path]] = defaultdict(list)
    names: dict[Path, str] = {}
    unreadable: Counter[str] = Counter()
    for place, files in walk_folder(folder):
        for file in files:
            key = normalize_file_name(file)
            suffix = next((suffix for suffix in suffixes if key.endswith(_normalize_suffix(suffix))), "")
            if suffix and len(file) > len(suffix):
                path = place / file
                names[path] = path.relative_to(folder).as_posix()[: -len(suffix)]
                chosen = more_groups if suffix != suffixes[0] and suffix in MORE_IMAGE_SUFFIXES else groups
                chosen[normalize_file_name(f"{names[path]}.x")].append(path)
            elif Path(key).suffix in UNREADABLE_SUFFIXES:
                unreadable[Path(key).suffix] += 1
    for paths in sorted((more_groups | groups).values()):
        if len(paths) > 1:
            text = f"there is also {', '.join(path.name for path in paths[1:])}: two images of one name"
            problems.append(FileIssue("two images", str(paths[0]), text, "leave only the right one in the folder"))
        yield names[paths[0]], paths[0]
    if unreadable:
        counts = ", ".join(f"{count} of {suffix}" for suffix, count in sorted(unreadable.items()))
        text = f"files of forms that cannot be read are left out ({counts})"
        problems.append(FileIssue("unreadable form", str(folder), text, "convert them to PNG or JPEG", level="note"))


def _pair_labels(images: dict[str, Path], layout: DatasetLayout, problems: list[FileIssue]) -> Iterator[SampleFiles]:
    folder = layout.labels
    assert folder is not None
    index = FolderIndex()
    suffixes = _label_suffixes(layout)
    for name, image in images.items():
        label = index.find(folder / name, suffixes)
        if label is not None:
            yield SampleFiles(name, image, label)
        elif Path(name).name in layout.without_labels:
            text = "is left out: the annotations are known to lack it"
            problems.append(FileIssue("left out", str(image), text, level="note"))
        else:
            file = folder / f"{name}{suffixes[0]}"
            text = f"does not exist, but there is the image {image.name}"
            remedy = index.explain(folder / name, "seg_map_suffix", LABEL_SUFFIXES)
            remedy = remedy or "convert the data set again, or take the image out"
            problems.append(FileIssue("missing label", str(file), text, remedy))
    if layout.names is None:
        names = {normalize_file_name(f"{name}.x") for name in images}
        image_index = FolderIndex()
        for name, label in _all_images(folder, suffixes, []):
            if normalize_file_name(f"{name}.x") not in names and label not in index.explained:
                remedy = image_index.explain(layout.images / name, "img_suffix", READABLE_SUFFIXES)
                remedy = remedy or "get the images again, all of them"
                problems.append(FileIssue("missing image", str(label), "has no image", remedy))
