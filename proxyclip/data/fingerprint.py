"""Hash a data set's file list and file sizes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from proxyclip.utils.hashing import hash_value


def fingerprint_dataset(dataset: Any) -> dict[str, Any]:
    """Number of images, hash of their names, and hash of all file sizes in bytes.

    Names are the last two folders and the file, which are the same where the data are moved. Both hashes are absent for
    a data set without `get_data_info`.
    """
    if not hasattr(dataset, "get_data_info"):
        return {"images": len(dataset)}
    files = list(_files(dataset))
    names = "\n".join(_name(image) for image, *_ in files)
    sizes = "\n".join(f"{file.name} {_size_and_mtime(file)[0]}" for both in files for file in both)
    return {"images": len(dataset), "list_sha256": hash_value(names), "files_sha256": hash_value(sizes)}


def hash_samples(dataset: Any) -> list[str]:
    """Distinct hashes of the samples, of image name, file sizes and mtimes.

    Times, because an uncompressed label map that is written anew has its old size.
    """
    hashes = [hash_value([_name(files[0]), *map(_size_and_mtime, files)])[:16] for files in _files(dataset)]
    return hashes if len(set(hashes)) == len(hashes) else [f"{digest}-{i}" for i, digest in enumerate(hashes)]


def list_image_names(dataset: Any) -> list[str]:
    """Image files relative to the folder of images, else with their own folder."""
    folder = (getattr(dataset, "data_prefix", None) or {}).get("img_path") or ""
    names = []
    for index in range(len(dataset)):
        path = Path(str(dataset.get_data_info(index).get("img_path", index)))
        inside = folder and path.is_relative_to(folder)
        names.append(path.relative_to(folder).as_posix() if inside else "/".join(path.parts[-2:]))
    return names


def _files(dataset: Any) -> Iterator[list[Path]]:
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        yield [Path(str(info[key])) for key in ("img_path", "seg_map_path") if info.get(key)] or [Path(str(index))]


def _name(image: Path) -> str:
    return "/".join(image.parts[-3:])


def _size_and_mtime(file: Path) -> tuple[int | None, int | None]:
    try:
        stat = file.stat()
    except OSError:
        return None, None  # the evaluation reports it
    return stat.st_size, stat.st_mtime_ns
