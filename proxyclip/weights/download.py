"""One file from an address: goes on where it stopped, and takes its name only with the right hash."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock
from tqdm import tqdm

from . import WeightsError, reason
from .hashes import mismatch

BLOCK = 1 << 18
SECONDS = 30  # without an answer


def download(url: str, target: Path, sha256: str = "") -> Path:
    """Fetch `url` to `target` by way of `target.part`, which a later call goes on with.

    Args:
        sha256: of the whole file, or its beginning; what differs is deleted. Without it only the length is checked.

    Raises:
        WeightsError: no connection, or it broke off and does not come back; a wrong hash. The message says the remedy.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    with FileLock(f"{part}.lock"):
        if target.is_file():  # another process was faster
            return target
        _complete(url, part)
        wrong = sha256 and mismatch(part, sha256)
        if wrong:
            part.unlink()
            raise WeightsError(
                f"What {url} gave is not the file that was expected: its {wrong}. It was deleted; try again."
            )
        part.replace(target)
    return target


def _complete(url: str, part: Path) -> None:
    """Ask again for what is missing as long as each answer brings some of it."""
    while True:
        before = part.stat().st_size if part.is_file() else 0
        trouble = "the connection broke off"
        try:
            if _fetch(url, part, before):
                return
        except urllib.error.HTTPError as error:
            if error.code == 416:  # nothing follows what is here: the hash will tell
                return
            trouble = f"the server says {error.code} {error.reason}"
        except (OSError, http.client.HTTPException) as error:
            trouble = reason(error)
        size = part.stat().st_size if part.is_file() else 0
        if size <= before:
            kept = f" {size} bytes are kept in {part}; the same command goes on from there." if size else ""
            raise WeightsError(f"{url} could not be fetched: {trouble}.{kept}")


def _fetch(url: str, part: Path, start: int) -> bool:
    """Append what one answer of the server has; whether the file is whole now."""
    headers = {"User-Agent": "proxyclip"} | ({"Range": f"bytes={start}-"} if start else {})
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=SECONDS) as answer:
        goes_on = start > 0 and answer.status == 206
        start = start if goes_on else 0  # a server without ranges sends all of it again
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else None
        with part.open("ab" if goes_on else "wb") as file:
            size = _copy(answer, file, start, total, part.stem)
    return total is None or size == total


def _copy(answer: BinaryIO, file: BinaryIO, start: int, total: int | None, name: str) -> int:
    with tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=name, leave=False) as bar:
        while block := answer.read(BLOCK):
            file.write(block)
            bar.update(len(block))
    return file.tell()
