"""Rebuild results.xlsx, results.csv and results.md of a work dir from its records."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proxyclip.cli import EXIT_FAILED, EXIT_USAGE, run_cli
from proxyclip.utils.arguments import declare_option, parse_options


@dataclass(frozen=True)
class TablesOptions:
    """Options of `tables`."""

    work_dir: str = declare_option(flags=("work_dir",), metavar="WORK_DIR", help="the folder with `records` in it")


def main(argv: Sequence[str] | None = None, prog: str = "python -m proxyclip tables") -> int:
    """Rebuild the tables, print their paths, and return the exit code; 2 for a folder without records."""
    options = parse_options(TablesOptions, argv, prog=prog, description=__doc__)
    errors = {ValueError: EXIT_USAGE, OSError: EXIT_FAILED}
    return run_cli(lambda: _rebuild(Path(options.work_dir)), errors=errors, describe=str)


def _rebuild(folder: Path) -> None:
    from proxyclip.results.records import load_records
    from proxyclip.results.tables import CSV_NAME, MARKDOWN_NAME, rebuild_tables

    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}: expected the --work-dir of an evaluation")
    if not any((folder / "records").glob("*.json")):
        raise ValueError(f"{folder} has no records: expected files {folder / 'records'}/*.json, which eval.py writes")
    count = len(load_records(folder, warn=False))  # those that are left out are named when the tables are made
    if count == 0:
        load_records(folder)
        raise ValueError(f"none of the records in {folder / 'records'} can be read")
    try:
        book = rebuild_tables(folder)
    except OSError as error:
        raise OSError(f"the tables cannot be written: {error}") from error
    print(f"records: {count}")
    for path in (book, folder / CSV_NAME, folder / MARKDOWN_NAME):
        print(path)
