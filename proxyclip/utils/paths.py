"""Paths: lookup of files that configs name, walks over folders, the cache folder."""

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SYSTEM_FOLDERS = ("__MACOSX", "@eaDir")  # macOS's and Synology's companions of files; hidden ones begin with a dot
CACHE_VARIABLE = "PROXYCLIP_CACHE"


def find_existing_path(path: str | Path, what: str = "file") -> Path:
    """Find the existing file or folder `path`: the current folder first, then ROOT.

    Raises:
        FileNotFoundError: it is in neither place; the message names both.
    """
    try:
        relative = Path(path).expanduser()
    except RuntimeError:  # the home of a user who is none
        relative = Path(path)
    candidates = dict.fromkeys(folder / relative for folder in (Path.cwd(), ROOT))  # one if it is absolute
    for candidate in candidates:
        if path_exists(candidate):
            return candidate
    raise FileNotFoundError(f"The {what} {str(path)!r} does not exist; looked at {', '.join(map(str, candidates))}")


def path_exists(path: str | Path) -> bool:
    """Return True if there is such a file or folder; False for text that can be no path."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # longer than a name may be, or with a zero byte
        return False


def is_hidden(name: str) -> bool:
    """Return True for names of files and folders that no user put there."""
    return name.startswith(".") or name in SYSTEM_FOLDERS


def walk_folder(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield a folder and all below it with the sorted names of their files.

    Links are followed, each folder counts once even where links form a loop, and hidden files and folders are left
    out.
    """
    visited: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        yield Path(place), sorted(name for name in files if not is_hidden(name))


def normalize_file_name(name: str) -> str:
    """Return the form of a file's name, without folder, that is equal for names a person takes for one.

    Composed and decomposed letters (NFC, NFD) are the same, and so are .png and .PNG.
    """
    composed = Path(unicodedata.normalize("NFC", name))
    return composed.stem + composed.suffix.lower()


def get_cache_folder() -> Path:
    """Return the folder of cached features and counts: `$PROXYCLIP_CACHE`, else `~/.cache/proxyclip`."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "proxyclip").expanduser()
