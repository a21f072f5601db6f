"""Pretrained weights: list what there is, fetch it, verify what is kept."""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from proxyclip.cli import EXIT_FAILED, EXIT_USAGE, run_cli
from proxyclip.models.names import check_weights_names
from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.catalogue import (
    WeightsEntry,
    find_weights_entry,
    get_weights_folder,
    list_weights_entries,
)
from proxyclip.models.weights.verify import (
    INVALID,
    NOT_LOCAL,
    OK,
    WeightsVerification,
    find_expected_hash,
    verify_local_weights,
    verify_weights,
)
from proxyclip.utils.formats import format_size
from proxyclip.utils.text_table import TextTable, measure_columns

WEIGHTS_COLUMNS = ("name", "size", "here", "licence", "source", "checked by")
WEIGHTS_TABLE_TITLES = {"clip": "CLIP (--clip)", "vfm": "Vision foundation models (--vfm)"}


def main(argv: Sequence[str] | None = None, prog: str = "python -m proxyclip weights") -> int:
    """Run one of the commands and return its exit code: 1 if something is missing or wrong, 2 for unknown names."""
    arguments = _build_parser(prog).parse_args(argv)
    return run_cli(
        lambda: arguments.run(arguments),
        check=lambda: check_weights_names(arguments.names if arguments.command == "fetch" else ()),
        interrupted="interrupted; the same command fetches what is missing",
        errors={WeightsError: EXIT_FAILED, ValueError: EXIT_USAGE},
        describe=str,
    )


def _build_parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog, description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, dest="command", metavar="list | fetch | verify")
    command = commands.add_parser("list", help="all CLIPs and VFMs with a short name, and which are on this machine")
    command.add_argument("--json", action="store_true", help="the same for programs")
    command.set_defaults(run=lambda arguments: print_weights_json() if arguments.json else print_weights_list())
    command = commands.add_parser("fetch", help="download weights and check them")
    add = command.add_argument
    add("names", nargs="+", metavar="NAME", help="values of --clip or --vfm, such as ViT-B-16 or dino")
    add("--to", type=Path, metavar="FOLDER", help="put them and their config there, for local-dir:FOLDER")
    add("--offline", action="store_true", help="fetch nothing, only say what is here")
    command.set_defaults(run=_run_fetch)
    help_text = "check hash and form of what is kept; exit code 1 if something is wrong"
    command = commands.add_parser("verify", help=help_text)
    command.add_argument("names", nargs="*", metavar="NAME|FILE|FOLDER", help="what to check; default all that is kept")
    command.set_defaults(run=_run_verify)
    return parser


def _run_fetch(arguments: argparse.Namespace) -> int:
    from proxyclip.models.weights.fetch import fetch_weights
    from proxyclip.models.weights.requirements import fetch_tokenizer, find_missing_tokenizer

    entries = [find_weights_entry(name) for name in arguments.names]  # unknown names are errors before any download
    if arguments.to and len(entries) > 1:
        names = ", ".join(arguments.names)
        raise ValueError(f"--to expected one name, since the folder is one model's, but got {names}")
    code = 0
    for entry in entries:
        try:
            fetch_weights(entry, arguments.to, arguments.offline)
            tokenizer = find_missing_tokenizer(entry.name) if entry.kind == "clip" and arguments.to is None else None
            if tokenizer is not None:
                fetch_tokenizer(tokenizer)
        except WeightsError as error:
            print(f"error: {error}", file=sys.stderr)
            code = EXIT_FAILED
    return code


def _run_verify(arguments: argparse.Namespace) -> int:
    verifications = verify_weights(arguments.names) if arguments.names else verify_local_weights()
    return 0 if print_verifications(verifications) else EXIT_FAILED


def print_weights_list() -> None:
    """Print both tables of the catalogue, a line a row, and where the files are kept."""
    from huggingface_hub import constants

    columns = measure_columns()
    catalogue = list_weights_entries()
    for entry_type, title in WEIGHTS_TABLE_TITLES.items():
        rows = [_weights_row(entry) for entry in catalogue if entry.kind == entry_type]
        table = TextTable(WEIGHTS_COLUMNS, rows, right=["size"])
        for name in WEIGHTS_COLUMNS[:-4:-1]:  # all of it is in --json
            if table.columns > columns:
                table.leave_out(name)
        table.shrink(columns, "licence", "name")
        print(title)
        table.print()
        print()
    print("Sizes of the hub's files are about right. More columns: a wider terminal, --json")
    print(f"Files of the hub: {constants.HF_HUB_CACHE} (HF_HUB_CACHE, HF_HOME)")
    print(f"Other files:      {get_weights_folder()} (PROXYCLIP_CACHE)")
    print("Get some: python -m proxyclip weights fetch NAME ...")


def _weights_row(entry: WeightsEntry) -> tuple[str, ...]:
    location = "hub cache" if entry.hub else "package" if entry.file else "own folder"
    name = f"{entry.name} ({', '.join(alias for alias in entry.also if ',' not in alias)})".replace(" ()", "")
    size = format_size(entry.bytes, exact=True)
    digest, _ = _find_hash(entry)
    checked_by = f"{digest[:8]}..." if digest else "hub's record" if entry.hub else "-"
    return name, size, location if entry.place else "-", entry.licence, entry.hub or entry.source, checked_by


def _find_hash(entry: WeightsEntry) -> tuple[str | None, str | None]:
    """Return the expected hash of an entry's file and its source, or None twice."""
    if entry.sha256:
        return entry.sha256, entry.sha256_from
    return (entry.place and find_expected_hash(entry.place, entry)) or (None, None)


def print_weights_json() -> None:
    """Print the catalogue as a JSON list; `place` is the path of the file on this machine or null."""
    print(json.dumps([_weights_record(entry) for entry in list_weights_entries()], indent=2))


def _weights_record(entry: WeightsEntry) -> dict[str, Any]:
    names = ("name", "also", "kind", "bytes", "licence", "source", "use")
    digest, source = _find_hash(entry)
    is_sha256 = digest is not None and len(digest) == 64
    return {name: getattr(entry, name) for name in names} | dict(
        bytes_are_exact=not entry.hub,
        place=str(entry.place) if entry.place else None,
        sha256=digest if is_sha256 else None,
        sha256_from=source if is_sha256 else None,
    )


def print_verifications(verifications: Iterable[WeightsVerification]) -> bool:
    """Print a table of verifications, and return True if all files are in order.

    A file that is not on this machine, or has no known hash, is in order.
    """
    with Console(stderr=True).status("reading files"):  # shown in a terminal only
        results = list(verifications)
    if not results:
        print("No weights are kept on this machine. Get some: python -m proxyclip weights fetch NAME")
        return True
    rows = [(v.name, v.state, v.note, _abbreviate_home(v.path)) for v in results]
    table = TextTable(("name", "state", "note", "file"), rows)
    columns = measure_columns()
    for name in ("file", "note"):
        if table.columns > columns:
            table.leave_out(name)
    table.shrink(columns, "name")
    table.print()
    if "note" not in table.cells:  # those of files in order are alike
        for name, state, note, file in rows:
            if state not in (OK, NOT_LOCAL):
                print(f"{name}: {note}\n  {file}")
    return INVALID not in {verification.state for verification in results}


def _abbreviate_home(path: Path | None) -> str:
    home = str(Path.home())
    text = str(path or "-")
    return f"~{text[len(home) :]}" if text.startswith(home + "/") else text
