"""What `list` and `verify` print."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from . import hashes, verify
from .catalogue import Entry, entries, own_folder
from .fetch import size

STYLES = {verify.OK: "green", verify.WRONG: "bold red", verify.UNKNOWN: "yellow"}
TITLES = {"clip": "CLIP (--clip)", "vfm": "Vision foundation models (--vfm)"}


def console() -> Console:
    """Standard output; as wide as the terminal, or wide enough for a line each where it goes to a file."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def print_list() -> None:
    """Both tables of the catalogue, and where things are kept."""
    from huggingface_hub import constants

    out, found = console(), entries()
    for kind, title in TITLES.items():
        table = Table(title=title, title_justify="left")
        table.add_column("name", no_wrap=True)
        table.add_column("size", justify="right", no_wrap=True)
        table.add_column("licence")
        table.add_column("here")
        table.add_column("checked by")
        table.add_column("source", overflow="fold")
        for entry in found:
            if entry.kind == kind:
                table.add_row(*map(escape, _row(entry)), style=None if entry.place else "dim")
        out.print(table)
    print(f"Files of the hub are kept in   {constants.HF_HUB_CACHE}   (HF_HUB_CACHE, HF_HOME)")
    print(f"other files are kept in        {own_folder()}   (PROXYCLIP_CACHE)")
    print("Get one: python -m proxyclip.weights fetch NAME")


def _row(entry: Entry) -> tuple[str, ...]:
    here = (
        "-" if entry.place is None else "hub cache" if entry.hub else "in the package" if entry.file else "own folder"
    )
    name = f"{entry.name} ({', '.join(a for a in entry.also if ',' not in a)})".replace(" ()", "")
    count = size(entry.bytes, exact=not entry.hub)
    return name, count, entry.licence, here, _hash(entry), entry.hub or entry.source


def _hash(entry: Entry) -> str:
    found = _known(entry)
    return f"{found[0][:8]}..." if found else "hub's record" if entry.hub else "-"


def _known(entry: Entry) -> tuple[str, str] | None:
    if entry.sha256:
        return entry.sha256, entry.sha256_from
    return hashes.expected(entry.place, entry) if entry.place else None


def print_json() -> None:
    """The catalogue as a JSON list; `place` is the path of the file on this machine or null."""
    print(json.dumps([_record(entry) for entry in entries()], indent=2))


def _record(entry: Entry) -> dict[str, Any]:
    digest, known_from = _known(entry) or (None, None)
    return dict(
        name=entry.name,
        also=list(entry.also),
        kind=entry.kind,
        bytes=entry.bytes,
        bytes_are_exact=not entry.hub,
        licence=entry.licence,
        source=entry.source,
        use=entry.use,
        place=str(entry.place) if entry.place else None,
        sha256=digest if digest and len(digest) == 64 else None,
        sha256_from=known_from if digest and len(digest) == 64 else None,
    )


def print_verdicts(found: Iterable[verify.Verdict]) -> bool:
    """A table of verdicts; whether all files are in order (one that is not here, or has no known hash, is)."""
    table, states = Table(), []
    for column in ("name", "state", "note", "file"):
        table.add_column(column, overflow="fold", no_wrap=column in ("name", "state"))
    with Console(stderr=True).status("reading files"):  # seen in a terminal only
        for one in found:
            states.append(one.state)
            style = STYLES.get(one.state)
            state = f"[{style}]{one.state}[/]" if style else one.state
            table.add_row(escape(one.name), state, escape(one.note), escape(_short(one.path)))
    if not states:
        print("No weights are kept on this machine. Get some: python -m proxyclip.weights fetch NAME")
        return True
    console().print(table)
    return verify.WRONG not in states


def _short(path: Path | None) -> str:
    home = str(Path.home())
    text = str(path or "-")
    return f"~{text[len(home) :]}" if text.startswith(home + "/") else text
