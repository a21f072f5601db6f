"""Which files a data set consists of: names that tell two lists apart, and sizes that tell two versions of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from proxyclip.utils.hashing import hash_value


def fingerprint_dataset(dataset: Any) -> dict[str, Any]:
    """Number of images, hash of the list of names, and hash of the sizes of all images and label maps in bytes.

    Names are the last two folders and the file, which tell images apart and stay when the data move. Both hashes are
    absent where a data set does not say its files.
    """
    found: dict[str, Any] = {"images": len(dataset)}
    if not hasattr(dataset, "get_data_info"):
        return found
    files = list(_files(dataset))
    found["list_sha256"] = hash_value("\n".join(_name(image) for image, *_ in files))
    found["files_sha256"] = hash_value("\n".join(f"{file.name} {_size(file)}" for both in files for file in both))
    return found


def hash_samples(dataset: Any) -> list[str]:
    """A short hash for each sample, of the image's name and its files' sizes and times of change; no two are alike.

    Times, because a label map without compression that is made anew has the size of the old one.
    """
    found = [hash_value([_name(files[0]), *map(_size_and_mtime, files)])[:16] for files in _files(dataset)]
    return found if len(set(found)) == len(found) else [f"{one}-{i}" for i, one in enumerate(found)]


def list_image_names(dataset: Any) -> list[str]:
    """The image files as people name them: below the folder of images, else with the folder they lie in."""
    home = (getattr(dataset, "data_prefix", None) or {}).get("img_path") or ""
    found = []
    for index in range(len(dataset)):
        path = Path(str(dataset.get_data_info(index).get("img_path", index)))
        inside = home and path.is_relative_to(home)
        found.append(path.relative_to(home).as_posix() if inside else "/".join(path.parts[-2:]))
    return found


def _files(dataset: Any) -> Iterator[list[Path]]:
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        yield [Path(str(info[key])) for key in ("img_path", "seg_map_path") if info.get(key)] or [Path(str(index))]


def _name(image: Path) -> str:
    return "/".join(image.parts[-3:])


def _size_and_mtime(file: Path) -> tuple[int, int] | None:
    try:
        about = file.stat()
    except OSError:
        return None  # the evaluation will name it
    return about.st_size, about.st_mtime_ns


def _size(file: Path) -> int | None:
    changed = _size_and_mtime(file)
    return changed and changed[0]
