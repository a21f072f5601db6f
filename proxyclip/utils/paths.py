"""Where relative paths of a config are looked for: the current folder first, then the repository."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def find_existing_path(path: str | Path, what: str = "file") -> Path:
    """The existing file or folder that `path` means.

    Raises:
        FileNotFoundError: it is in neither place; the message names both.
    """
    given = Path(path).expanduser()
    places = [given] if given.is_absolute() else [Path.cwd() / given, ROOT / given]
    for place in places:
        if place.exists():
            return place
    raise FileNotFoundError(f"The {what} {str(path)!r} does not exist; looked at {', '.join(map(str, places))}")
