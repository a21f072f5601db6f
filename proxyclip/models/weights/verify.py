"""Checks of weights files by hash, length and form; nothing in them is run.

Hashes come from the catalog, from a file's name, and for files of the hub from the hub itself, which is the name of
the blob in its cache: SHA-256 for files in large file storage, git's own SHA-1 for the rest.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from proxyclip.models.weights import WeightsError, catalogue
from proxyclip.models.weights.catalogue import WEIGHTS_SUFFIXES, WeightsEntry
from proxyclip.utils.file_limits import read_limited_text
from proxyclip.utils.hashing import read_file_hash

MAX_RECORD_BYTES = 10_000
OK = "ok"
INVALID = "wrong"
UNKNOWN_HASH = "unknown hash"
NOT_LOCAL = "not here"
INCOMPLETE = "unfinished"
HUB_HASH_SOURCE = "the hub's record of the file"


@dataclass(frozen=True)
class WeightsVerification:
    """Verification result of one file."""

    name: str
    path: Path | None
    state: str  # one of the constants above
    note: str = ""  # the reason


def verify_local_weights() -> Iterator[WeightsVerification]:
    """Verify all local files of the catalog and of the project's own folder."""
    known = set()
    for entry in catalogue.list_weights_entries():
        if entry.place is not None:
            known.add(entry.place)
            yield verify_weights_file(entry.place, entry)
    for path in sorted(catalogue.get_weights_folder().glob("*")):
        if path.suffix == ".partial":
            note = f"{path.stat().st_size} bytes of a download that was killed; delete it"
            yield WeightsVerification(path.name, path, INCOMPLETE, note)
        elif path.suffix in WEIGHTS_SUFFIXES and path not in known:
            yield verify_weights_file(path)


def verify_weights(names: Iterable[str]) -> Iterator[WeightsVerification]:
    """Verify files, folders and entries of the catalog.

    Raises:
        ValueError: neither a file or folder nor a name of the catalog.
    """
    for name in names:
        path = Path(name).expanduser()
        if path.is_dir():
            files = [file for file in sorted(path.iterdir()) if file.suffix in WEIGHTS_SUFFIXES]
            if not files:
                note = f"no weights in this folder: expected files {', '.join(WEIGHTS_SUFFIXES)}"
                yield WeightsVerification(path.name, path, INVALID, note)
            yield from map(verify_weights_file, files)
        elif path.is_file():
            yield verify_weights_file(path)
        elif path.suffix in WEIGHTS_SUFFIXES:
            yield WeightsVerification(path.name, path, INVALID, "there is no such file")
        else:
            entry = catalogue.find_weights_entry(name)
            if entry.place:
                yield verify_weights_file(entry.place, entry)
            else:
                note = f"get it: python -m proxyclip weights fetch {entry.name}"
                yield WeightsVerification(entry.name, None, NOT_LOCAL, note)


def verify_weights_file(path: Path, entry: WeightsEntry | None = None) -> WeightsVerification:
    """Verify the hash of one file, and that it can be read as tensors."""
    from proxyclip.models.weights.reading import check_weights_readable

    name = entry.name if entry else path.name
    known = find_expected_hash(path, entry) or (query_hub_hash(entry, path.name) if entry else None)
    notes = []
    if known and (mismatch := describe_hash_mismatch(path, known[0])):
        notes.append(f"{mismatch} ({known[1]})")
        if entry and not entry.hub and entry.bytes != path.stat().st_size:
            notes.append(f"it has {path.stat().st_size} of {entry.bytes} bytes")
    try:
        check_weights_readable(path)
    except WeightsError as error:
        notes.append(str(error))
    if notes:
        if entry and not entry.file:
            notes.append(f"delete it, then: python -m proxyclip weights fetch {entry.name}")
        return WeightsVerification(name, path, INVALID, "; ".join(notes))
    state, note = (OK, f"as in {known[1]}") if known else (UNKNOWN_HASH, "it can be read")
    return WeightsVerification(name, path, state, note)


def find_expected_hash(path: Path, entry: WeightsEntry | None = None) -> tuple[str, str] | None:
    """Return (hash or its beginning, its source) of a file, or None."""
    if entry is not None and entry.sha256:
        return entry.sha256, entry.sha256_from
    blob = path.resolve()
    if blob.parent.name == "blobs" and is_hub_hash(blob.name):
        return blob.name, HUB_HASH_SOURCE
    record = path.parent / ".cache" / "huggingface" / "download" / f"{path.name}.metadata"  # of `hf download`
    with suppress(OSError, ValueError):
        lines = read_limited_text(record, MAX_RECORD_BYTES, "a record of a download").splitlines()
        if len(lines) > 1 and is_hub_hash(lines[1]):
            return lines[1], HUB_HASH_SOURCE
    return catalogue.list_known_hashes().get(path.name)


def query_hub_hash(entry: WeightsEntry, name: str) -> tuple[str, str] | None:
    """Query the hub for (hash, source) of a file of an entry, or return None."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    if not entry.hub or constants.HF_HUB_OFFLINE:
        return None
    try:
        digest = get_hf_file_metadata(hf_hub_url(entry.hub, name)).etag or ""
    except Exception:  # of any HTTP library: the hash stays unknown, which the result states
        return None
    return (digest, HUB_HASH_SOURCE) if is_hub_hash(digest) else None


def is_hub_hash(text: str) -> bool:
    """Return True if a text is a SHA-256 or git's SHA-1."""
    return re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{40}", text) is not None


def describe_hash_mismatch(path: Path, expected: str) -> str | None:
    """Describe the mismatch of a file's hash, or return None.

    Args:
        expected: SHA-256 or its beginning, or git's SHA-1 of a blob (40 digits).
    """
    is_git_hash = len(expected) == 40
    header = f"blob {path.stat().st_size}\0".encode()
    actual = read_file_hash(path, hashlib.sha1(header, usedforsecurity=False) if is_git_hash else None)
    if actual.startswith(expected):
        return None
    algorithm = "git's SHA-1" if is_git_hash else "SHA-256"
    return f"{algorithm} is {actual[:12]}..., expected {expected[:12]}{'...' if len(expected) > 12 else ''}"
