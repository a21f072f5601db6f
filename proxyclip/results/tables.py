"""results.xlsx, results.csv and results.md of a folder: views of all its records, rebuilt every time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from proxyclip.atomic import replace

from . import store, text

WORKBOOK, CSV, MARKDOWN = "results.xlsx", "results.csv", "results.md"
LOCK_SECONDS = 120
_TRIES = 5


def table(folder: Path) -> Path:
    """Rebuild the tables of a folder from all its records, and return the path of the workbook.

    Processes that finish at once wait for each other. A file that cannot be replaced (open in a spreadsheet program,
    write-protected) is left alone: the new one is written beside it, with a message.

    Raises:
        OSError: nothing can be written in the folder, for want of space, say. The records stay as they are.
    """
    with _lock(folder):
        store.clean(folder)
        for _ in range(_TRIES):  # more than one only where the lock could not be had
            seen = _state(folder)
            written = _write(folder)
            if _state(folder) == seen:
                break
    return written


def _write(folder: Path) -> Path:
    from . import workbook

    runs = store.records(folder)
    written = _put(folder / WORKBOOK, workbook.build(runs))
    _put(folder / CSV, text.to_csv(runs))
    _put(folder / MARKDOWN, text.to_markdown(runs))
    return written


def _put(target: Path, content: bytes) -> Path:
    """Replace a file, or write its neighbour; the path of the one that was written."""
    try:
        if target.is_file() and not target.stat().st_mode & 0o222:
            raise PermissionError("it is write-protected")
        replace(target, lambda temporary: temporary.write_bytes(content))
    except OSError as error:
        beside = target.with_name(f"{target.stem}-{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}{target.suffix}")
        replace(beside, lambda temporary: temporary.write_bytes(content))
        print(f"warning: {target} cannot be replaced ({error}); written to {beside} instead", file=sys.stderr)
        return beside
    return target


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Keep other processes from writing tables meanwhile; go on without where that cannot be had.

    Files are replaced whole, so two writers at once break no table; `table` then looks whether it missed a record.
    """
    lock = FileLock(str(folder / ".results.lock"), timeout=LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout:
        why = f"another process has held it for {LOCK_SECONDS} s"
    except (OSError, NotImplementedError) as error:
        why = str(error)
    else:
        why = ""
    if why:
        print(f"warning: no lock on {lock.lock_file} ({why}); the tables are written without it", file=sys.stderr)
    try:
        yield
    finally:
        lock.release()


def _state(folder: Path) -> set[tuple[str, int, int]]:
    found = set()
    for path in (folder / "records").glob("*.json"):
        try:
            about = path.stat()
        except OSError:
            continue
        found.add((path.name, about.st_mtime_ns, about.st_size))
    return found
