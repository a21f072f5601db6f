"""Parts of an identity beside saved counts, and the reason why those of an earlier run are not used."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from proxyclip.engine.evaluation.identity import CONFIG_PARTS
from proxyclip.utils.file_limits import MEGABYTE, read_limited_text
from proxyclip.utils.io import replace_file

PARTS_FILE = "identity.json"  # in a folder of saved counts
_MAX_PARTS_BYTES = MEGABYTE
_MAX_TOKEN_BYTES = 1 << 30
_MAX_CHANGES = 3  # of a message
_SHOWN_DIGITS = 8


def save_identity_parts(folder: Path, parts: Mapping[str, str]) -> None:
    """Save the parts of an identity in the folder of its counts, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    text = json.dumps({"parts": dict(parts)}, indent=1) + "\n"
    replace_file(folder / PARTS_FILE, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def explain_unused_counts(folder: Path, parts: Mapping[str, str], tokens: Sequence[str]) -> str | None:
    """Explain which counts beside an unfinished evaluation are of the same config but of other code or files.

    Args:
        folder: of the evaluation; those of others are beside it.
        parts: of its identity.
        tokens: of its images.

    Returns:
        One line on the counts of most images; None without any.
    """
    best: tuple[int, Path, dict[str, str]] | None = None
    try:
        others = sorted(other for other in folder.parent.iterdir() if other != folder)
    except OSError:
        return None
    for other in others:
        old = _read_parts(other / PARTS_FILE)
        if old is None or any(old.get(name) != parts.get(name) for name in CONFIG_PARTS):
            continue
        images = count_saved_images(other, tokens)
        if images and (best is None or images > best[0]):
            best = (images, other, old)
    if best is None:
        return None
    images, other, old = best
    names = [name for name in dict.fromkeys([*old, *parts]) if old.get(name) != parts.get(name)]
    changes = [f"{name} changed since ({_show(old.get(name))} -> {_show(parts.get(name))})" for name in names]
    more = f" and {len(changes) - _MAX_CHANGES} more" if len(changes) > _MAX_CHANGES else ""
    subject = (
        "1 image counted by an earlier run is" if images == 1 else f"{images} images counted by an earlier run are"
    )
    place = f"{'it is' if images == 1 else 'they are'} kept in {other}"
    text = f"{subject} not used: {', '.join(changes[:_MAX_CHANGES])}{more}; {place}"
    return "".join(character if character.isprintable() else "?" for character in text)


def count_saved_images(folder: Path, tokens: Sequence[str]) -> int:
    """Count the images of a data set that a folder has counts of; a damaged file has none."""
    saved: set[str] = set()
    for path in folder.glob("*.npz"):
        try:
            with zipfile.ZipFile(path) as archive:
                if archive.getinfo("token.npy").file_size > _MAX_TOKEN_BYTES:
                    continue
            with np.load(path, allow_pickle=False) as file:
                saved |= set(map(str, file["token"].ravel()))
        except Exception:  # of a damaged file anything comes
            continue
    return len(saved.intersection(tokens))


def _read_parts(path: Path) -> dict[str, str] | None:
    """Read the parts of another identity; None if they are not there, or damaged."""
    try:
        parts: Any = json.loads(read_limited_text(path, _MAX_PARTS_BYTES, "the parts of an identity"))["parts"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    is_plain = isinstance(parts, dict) and all(isinstance(value, str) for value in parts.values())
    return parts if is_plain else None


def _show(digest: str | None) -> str:
    return "none" if digest is None else digest[:_SHOWN_DIGITS]
