"""Folder of the page's temporary files: bounded, and gone with the page."""

import contextlib
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from proxyclip.apis.web.heap import trim_heap
from proxyclip.apis.web.refusals import RequestRefused
from proxyclip.utils.file_limits import MEGABYTE
from proxyclip.utils.system import temporary_environment

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FOLDER_PREFIX = "proxyclip-web-"  # then the process and a random part
LOCK_NAME = ".lock"
MAX_FOLDER_BYTES = 500 * MEGABYTE
MAX_FOLDER_FILES = 2000
MAX_UPLOAD_SECONDS = 300.0  # after which an upload that nobody has looked at is deleted
SWEEP_SECONDS = 60.0


class UploadFolder:
    """Temporary files of a page, of which old ones are deleted.

    Args:
        path: of the folder.
        max_bytes: of all files together.
        max_seconds: since a file was last written.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_FOLDER_BYTES, max_seconds: float = MAX_UPLOAD_SECONDS) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.max_seconds = max_seconds

    def check_space(self, needed: int) -> None:
        """Raise RequestRefused if there is no space for so many bytes more."""
        if not self._has_space(needed):
            self.sweep()
        if not self._has_space(needed):
            minutes = max(1, round(self.max_seconds / 60))
            raise RequestRefused(507, f"The page has no space for another picture now: try again in {minutes} minutes.")

    def _has_space(self, needed: int) -> bool:
        count, size = self.measure()
        return size + needed <= self.max_bytes and count < MAX_FOLDER_FILES

    def measure(self) -> tuple[int, int]:
        """Count the files, and sum their bytes."""
        sizes = [details.st_size for _, details in self._list_files()]
        return len(sizes), sum(sizes)

    def sweep(self) -> None:
        """Delete what was last written long ago, and folders that are empty since then."""
        oldest = time.time() - self.max_seconds
        for path, details in self._list_files():
            if details.st_mtime < oldest:
                path.unlink(missing_ok=True)
        for path in list(self.path.iterdir()) if self.path.is_dir() else []:
            with contextlib.suppress(OSError):  # not empty, not a folder, or gone
                if path.stat().st_mtime < oldest:
                    path.rmdir()

    def _list_files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for folder, _, names in os.walk(self.path):
            for name in {*names} - {LOCK_NAME}:
                with contextlib.suppress(OSError):  # deleted meanwhile
                    path = Path(folder, name)
                    yield path, path.lstat()


@contextlib.contextmanager
def open_upload_folder() -> Iterator[UploadFolder]:
    """Make the folder of a page, where all of this process's temporary files go, and delete it at the end.

    What killed pages of this user have left is deleted first.
    """
    parent = Path(tempfile.gettempdir())
    remove_leftovers(parent)
    previous = tempfile.tempdir
    with (
        tempfile.TemporaryDirectory(prefix=f"{FOLDER_PREFIX}{os.getpid()}-", ignore_cleanup_errors=True) as path,
        temporary_environment({"GRADIO_TEMP_DIR": path}),
    ):
        lock = _lock_folder(Path(path))
        folder = UploadFolder(Path(path))
        ended = threading.Event()
        sweeper = threading.Thread(target=_sweep_regularly, args=(folder, ended), daemon=True)
        sweeper.start()
        tempfile.tempdir = path
        try:
            yield folder
        finally:
            tempfile.tempdir = previous
            ended.set()
            sweeper.join()
            if lock is not None:
                os.close(lock)


def _sweep_regularly(folder: UploadFolder, ended: threading.Event) -> None:
    while not ended.wait(SWEEP_SECONDS):
        with contextlib.suppress(OSError):
            folder.sweep()
        trim_heap()


def remove_leftovers(parent: Path) -> None:
    """Delete folders of this user's pages that were killed: those whose process is gone."""
    for path in parent.glob(f"{FOLDER_PREFIX}*"):
        number = path.name.removeprefix(FOLDER_PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            details = path.lstat()
            is_own = stat.S_ISDIR(details.st_mode) and details.st_uid == getattr(os, "getuid", lambda: 0)()
            is_left = number.isdecimal() and not psutil.pid_exists(int(number))
            if is_own and is_left and (lock := _lock_folder(path)) is not None:
                os.close(lock)
                shutil.rmtree(path, ignore_errors=True)


def _lock_folder(path: Path) -> int | None:
    """Lock a folder until the returned file is closed; None if another process has, perhaps of another container."""
    file = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    if fcntl is None:
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file
