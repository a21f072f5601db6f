"""Rebuild results.xlsx, results.csv and results.md of a work dir from its records."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import CSV, MARKDOWN, records, table


def main(argv: list[str] | None = None) -> int:
    """Rebuild the tables, print where they are, and return the exit code; 2 for a folder without records."""
    parser = argparse.ArgumentParser("python -m proxyclip.results", description=__doc__, allow_abbrev=False)
    parser.add_argument("work_dir", type=Path, metavar="WORK_DIR", help="the folder with `records` in it")
    folder: Path = parser.parse_args(argv).work_dir
    if not folder.is_dir():
        return _refuse(f"there is no folder {folder}: expected the --work-dir of an evaluation")
    if not any((folder / "records").glob("*.json")):
        return _refuse(f"{folder} has no records: expected files {folder / 'records'}/*.json, which eval.py writes")
    found = len(records(folder))
    if found == 0:
        return _refuse(f"none of the records in {folder / 'records'} can be read")
    try:
        book = table(folder)
    except OSError as error:
        return _refuse(f"the tables cannot be written: {error}", 1)
    print(f"records: {found}")
    for path in (book, folder / CSV, folder / MARKDOWN):
        print(path)
    return 0


def _refuse(why: str, code: int = 2) -> int:
    print(f"error: {why}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
