"""SHA-256 of values, bytes and files."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

_MIN_CACHED_BYTES = 1 << 24  # smaller files are hashed each time


def hash_value(value: Any) -> str:
    """Hash a text, or a JSON-able value in a canonical form."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return hash_chunks([text.encode()])


def hash_chunks(chunks: Iterable[Any]) -> str:
    """Hash the concatenation of chunks: bytes, arrays, or other buffers."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """Hash the content of a file; a large one again only if size or time changed."""
    status = path.stat()
    if status.st_size < _MIN_CACHED_BYTES:
        return read_file_hash(path)
    return _cached_hash(path.resolve(), status.st_size, status.st_mtime_ns)


def read_file_hash(path: Path, digest: Any = None) -> str:
    """Read a file and return the hash of its content, never a cached one.

    Args:
        digest: a hashlib object that the content is added to; default a new SHA-256.
    """
    digest = digest or hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def hash_files(files: Mapping[str, Path]) -> str:
    """Hash the names and contents of several files, in the order of the mapping."""
    return hash_value("".join(f"{name} {hash_file(path)}\n" for name, path in files.items()))


@cache
def _cached_hash(path: Path, size: int, modified_ns: int) -> str:
    return read_file_hash(path)
