"""The hash that a weights file should have, and whether it has it.

What is known: the catalogue's, the one in a file's name, and for files of the hub the one that the hub gave with them,
which is the name of the blob in its cache: SHA-256 for what lies in large file storage, git's own SHA-1 for the rest.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from .catalogue import Entry, originals

FROM_HUB = "the hub's record of the file"


def expected(path: Path, entry: Entry | None = None) -> tuple[str, str] | None:
    """(hash, where it is known from) of a file, None if it is not known; the hash may be only its beginning."""
    if entry is not None and entry.sha256:
        return entry.sha256, entry.sha256_from
    blob = path.resolve()
    if blob.parent.name == "blobs" and is_hash(blob.name):
        return blob.name, FROM_HUB
    record = (
        path.parent / ".cache" / "huggingface" / "download" / f"{path.name}.metadata"
    )  # of `hf download --local-dir`
    if record.is_file():
        lines = record.read_text(encoding="utf-8").splitlines()
        if len(lines) > 1 and is_hash(lines[1]):
            return lines[1], FROM_HUB
    return originals().get(path.name)


def asked(entry: Entry, name: str) -> tuple[str, str] | None:
    """What the hub says now of a file of an entry's repository; None where it cannot be asked."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    if not entry.hub or constants.HF_HUB_OFFLINE:
        return None
    try:
        digest = get_hf_file_metadata(hf_hub_url(entry.hub, name)).etag or ""
    except Exception:  # of any HTTP library: the file's hash stays unknown, which is told
        return None
    return (digest, FROM_HUB) if is_hash(digest) else None


def is_hash(text: str) -> bool:
    """Whether a name of the hub's is a SHA-256 or git's SHA-1."""
    return re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{40}", text) is not None


def compute(path: Path, like: str = "") -> str:
    """The hash (hex) of a file: git's of a blob where `like` is as long as one, else SHA-256."""
    digest = hashlib.sha256()
    if len(like) == 40:
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def mismatch(path: Path, wanted: str) -> str | None:
    """How a file's hash differs from the one wanted, in words; None if it is the same."""
    got = compute(path, wanted)
    if got.startswith(wanted):
        return None
    kind = "git's SHA-1" if len(wanted) == 40 else "SHA-256"
    return f"{kind} is {got[:12]}..., expected {wanted[:12]}{'...' if len(wanted) > 12 else ''}"
