"""Path lookup of configs: the current folder first, then the repository."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def find_existing_path(path: str | Path, what: str = "file") -> Path:
    """Find the existing file or folder `path`.

    Raises:
        FileNotFoundError: it is in neither place; the message names both.
    """
    relative = Path(path).expanduser()
    candidates = dict.fromkeys(folder / relative for folder in (Path.cwd(), ROOT))  # one if it is absolute
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise FileNotFoundError(f"The {what} {str(path)!r} does not exist; looked at {', '.join(map(str, candidates))}")
