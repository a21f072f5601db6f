"""Checking what is kept: hash, length and form of weights files, without running anything in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import WeightsError, hashes
from .catalogue import SUFFIXES, Entry, entries, find, own_folder

OK, WRONG, UNKNOWN, ABSENT, UNFINISHED = "ok", "wrong", "unknown hash", "not here", "unfinished"


@dataclass(frozen=True)
class Verdict:
    """What was found of one file; `state` is one of those above, `note` says why."""

    name: str
    path: Path | None
    state: str
    note: str = ""


def kept() -> Iterator[Verdict]:
    """All files on this machine that the catalogue knows, and all in the project's own folder."""
    known = set()
    for entry in entries():
        if entry.place is not None:
            known.add(entry.place)
            yield check(entry.place, entry)
    for path in sorted(own_folder().glob("*")):
        if path.suffix == ".part":
            yield Verdict(path.stem, path, UNFINISHED, f"{path.stat().st_size} bytes; fetch goes on from there")
        elif path.suffix in SUFFIXES and path not in known:
            yield check(path)


def named(words: Iterable[str]) -> Iterator[Verdict]:
    """The files, folders and entries that words stand for.

    Raises:
        ValueError: neither a file or folder nor a name of the catalogue.
    """
    for word in words:
        path = Path(word).expanduser()
        if path.is_dir():
            yield from _folder(path)
        elif path.is_file():
            yield check(path)
        elif path.suffix in SUFFIXES:
            yield Verdict(path.name, path, WRONG, "there is no such file")
        else:
            entry = find(word)
            fetch = f"python -m proxyclip.weights fetch {entry.name}"
            yield check(entry.place, entry) if entry.place else Verdict(entry.name, None, ABSENT, f"get it: {fetch}")


def _folder(path: Path) -> Iterator[Verdict]:
    files = [file for file in sorted(path.iterdir()) if file.suffix in SUFFIXES]
    if not files:
        yield Verdict(path.name, path, WRONG, f"no weights in this folder: expected files {', '.join(SUFFIXES)}")
    for file in files:
        yield check(file)


def check(path: Path, entry: Entry | None = None) -> Verdict:
    """Whether one file has the hash it should have and can be read as tensors."""
    from .reading import check_readable

    name = entry.name if entry else path.name
    known = hashes.expected(path, entry) or (hashes.asked(entry, path.name) if entry else None)
    notes = []
    if known and (wrong := hashes.mismatch(path, known[0])):
        notes.append(f"{wrong} ({known[1]})")
        if entry and not entry.hub and entry.bytes != path.stat().st_size:
            notes.append(f"it has {path.stat().st_size} of {entry.bytes} bytes")
    try:
        check_readable(path)
    except WeightsError as error:
        notes.append(str(error))
    if notes:
        again = f"; delete it, then: python -m proxyclip.weights fetch {entry.name}" if entry and not entry.file else ""
        return Verdict(name, path, WRONG, "; ".join(notes) + again)
    if known is None:
        return Verdict(name, path, UNKNOWN, "it can be read")
    return Verdict(name, path, OK, f"as in {known[1]}")
