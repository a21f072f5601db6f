"""Tables results.xlsx, results.csv and results.md of all records of a folder."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from proxyclip.results.records import load_records, remove_stale_files
from proxyclip.results.spreadsheet import replace_or_write_beside
from proxyclip.results.text_tables import format_csv_table, format_markdown_table

WORKBOOK_NAME = "results.xlsx"
CSV_NAME = "results.csv"
MARKDOWN_NAME = "results.md"
LOCK_SECONDS = 120
_TRIES = 5


def rebuild_tables(folder: Path) -> Path:
    """Rebuild the tables of a folder from its records; return the workbook's path.

    Processes that finish at once wait for each other. A file that cannot be replaced (open in a spreadsheet program,
    write-protected) is left alone: the new one is written beside it, with a message.

    Raises:
        OSError: nothing can be written in the folder, for want of space, say. The records stay as they are.
    """
    with _lock(folder):
        remove_stale_files(folder)
        for _ in range(_TRIES):  # more than one only where the lock could not be had
            state = _stat_records(folder)
            path = _write(folder)
            if _stat_records(folder) == state:
                break
    return path


def _write(folder: Path) -> Path:
    from proxyclip.results.workbook import build_workbook

    runs = load_records(folder)
    path = replace_or_write_beside(folder / WORKBOOK_NAME, build_workbook(runs))
    replace_or_write_beside(folder / CSV_NAME, format_csv_table(runs))
    replace_or_write_beside(folder / MARKDOWN_NAME, format_markdown_table(runs))
    return path


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Lock the folder against other writers; warn and continue without a lock.

    Files are replaced whole, so two writers at once break no table; the caller reads again if a record was added.
    """
    lock = FileLock(str(folder / ".results.lock"), timeout=LOCK_SECONDS)
    reason = ""
    try:
        lock.acquire()
    except Timeout:
        reason = f"another process has held it for {LOCK_SECONDS} s"
    except (OSError, NotImplementedError) as error:
        reason = str(error)
    if reason:
        print(f"warning: no lock on {lock.lock_file} ({reason}); the tables are written without it", file=sys.stderr)
    try:
        yield
    finally:
        lock.release()


def _stat_records(folder: Path) -> set[tuple[str, int, int]]:
    """Collect name, time and size of all record files."""
    state = set()
    for path in (folder / "records").glob("*.json"):
        with suppress(OSError):
            stat = path.stat()
            state.add((path.name, stat.st_mtime_ns, stat.st_size))
    return state
