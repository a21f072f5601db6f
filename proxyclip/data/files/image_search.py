"""Images named by paths, folders and patterns."""

import fnmatch
import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from proxyclip.data.files.folder_index import UNREADABLE_SUFFIXES
from proxyclip.data.files.layout import READABLE_SUFFIXES
from proxyclip.utils.paths import is_hidden, path_exists, walk_folder

IMAGE_FILE_SUFFIXES = (*READABLE_SUFFIXES, ".gif")
RESULT_ENDINGS = ("_seg.png", "_overlay.png", "_mask.png", "_attention.png")  # of exports of a segmentation
RESULT_FILES = ("{}_seg.png", "{}_overlay.png", "{}_mask.png", "{}.json")  # which are written together


@dataclass
class ImageSearch:
    """Images of paths, folders and patterns: files in order, each once, and notes on what is left out."""

    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def search_images(arguments: Iterable[str]) -> ImageSearch:
    """Find the images of paths, folders and patterns (`photos/*.jpg`, `photos/**/*.png`).

    Hidden files, and results of an earlier segmentation beside each other, are left out of folders and patterns. A path
    that does not exist is kept, for a message of its own.

    Raises:
        FileNotFoundError: a folder or a pattern without images. ValueError: an address.
    """
    search = ImageSearch()
    real_paths: set[str] = set()
    for argument in arguments:
        refuse_address(argument)
        path = Path(argument).expanduser()
        if path_exists(path) and path.is_dir():
            matches = _select_images(sorted(path.iterdir()), argument, search.notes)
        elif not path_exists(path) and glob.has_magic(argument):
            matches = _select_images(expand_pattern(str(path)), argument, search.notes)
        else:
            matches = [path]
        if not matches:
            raise FileNotFoundError(_explain_no_image(argument, search.notes))
        for match in matches:
            real = os.path.realpath(match)
            if real not in real_paths:
                real_paths.add(real)
                search.files.append(match)
    return search


def refuse_address(text: str) -> None:
    """Raise ValueError for an address of the web in place of a file."""
    if "://" in text[:12] or text.startswith("data:"):
        raise ValueError(f"Expected a file on this machine, but got the address {text[:300]}: save the picture first")


def expand_pattern(pattern: str) -> list[Path]:
    """Expand a pattern of `*`, `?`, `[]` and `**`, sorted; links that form a loop are followed once."""
    parts = Path(pattern).parts
    if "**" not in parts:
        return sorted(map(Path, glob.glob(pattern)))  # noqa: PTH207  pathlib's own has another rule for hidden files
    first = parts.index("**")
    base, rest = parts[:first], parts[first + 1 :]
    folders = glob.glob(str(Path(*base))) if base else ["."]  # noqa: PTH207
    return sorted(path for folder in folders for path in _expand_below(Path(folder), rest))


def _expand_below(folder: Path, rest: tuple[str, ...]) -> Iterator[Path]:
    for place, names in walk_folder(folder):
        if len(rest) <= 1:
            yield from (place / name for name in fnmatch.filter(names, *rest or ("*",)))
        else:
            yield from expand_pattern(str(Path(glob.escape(str(place)), *rest)))


def _select_images(paths: Iterable[Path], argument: str, notes: list[str]) -> list[Path]:
    """Select what is an image; the rest that a user may miss is noted."""
    files = [path for path in paths if not is_hidden(path.name) and path.is_file()]
    images = [path for path in files if path.suffix.lower() in IMAGE_FILE_SUFFIXES]
    results = [path for path in images if is_result_file(path)]
    if results:
        more = ", ..." if len(results) > 2 else ""
        names = ", ".join(path.name for path in results[:2]) + more
        notes.append(f"{argument}: {len(results)} results of an earlier run are left out ({names})")
    unreadable = Counter(path.suffix.lower() for path in files if path.suffix.lower() in UNREADABLE_SUFFIXES)
    if unreadable:
        counts = ", ".join(f"{count} of {suffix}" for suffix, count in sorted(unreadable.items()))
        notes.append(f"{argument}: pictures that cannot be read are left out ({counts}): convert them to JPEG or PNG")
    return [path for path in images if path not in results]


def is_result_file(path: Path) -> bool:
    """Return True for a file of a segmentation's exports, which lie beside each other."""
    ending = next((ending for ending in RESULT_ENDINGS if path.name.endswith(ending)), None)
    if ending is None:
        return False
    stem = path.name.removesuffix(ending)
    return all(path.with_name(form.format(stem)).is_file() for form in RESULT_FILES)


def _explain_no_image(argument: str, notes: list[str]) -> str:
    remarks = [note.removeprefix(f"{argument}: ") for note in notes if note.startswith(f"{argument}: ")]
    reason = "; ".join(remarks) or f"expected files that end in {', '.join(IMAGE_FILE_SUFFIXES)}"
    return f"There is no picture in {argument}: {reason}"
