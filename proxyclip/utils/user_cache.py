"""Cache of computed values, believed only where nobody but this user or root can have written them.

Each user writes into a folder of their own, `<cache>/<kind>-u<uid>`, so that several can share a cache folder; what
root has put into root's is read by all. Files have the mode 0644, less the umask.
"""

import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from proxyclip.utils.file_limits import FileTooLarge
from proxyclip.utils.formats import format_size
from proxyclip.utils.io import replace_file
from proxyclip.utils.paths import get_cache_folder

MAX_CACHE_AGE = 90 * 24 * 3600  # seconds without use
MAX_CACHE_BYTES = 2 * 10**9  # of a kind and user
MAX_CACHE_FILES = 20_000
_DAY = 24 * 3600
_WRITES_PER_PRUNING = 50
_ENTRY_NAME = re.compile(r"[0-9a-f]{40}\.\w+|\.[0-9a-f]{40}\.\w+\.[\w-]+\.tmp")  # and what a killed writer leaves
_writes: dict[Path, int] = {}  # of this process, by folder


class UntrustedFile(OSError):
    """A file of a cache that somebody else can have written."""


def get_user_id() -> int | None:
    """Return the id of the user; None where files have no such owners (Windows)."""
    return os.geteuid() if hasattr(os, "geteuid") else None


def find_cache_entries(kind: str, name: str, folder: Path | None = None) -> list[Path]:
    """List the places of an entry: the user's own, then root's."""
    user = get_user_id()
    owners = ["" if user is None else f"-u{user}", *([] if user in (None, 0) else ["-u0"])]
    return [(folder or get_cache_folder()) / f"{kind}{owner}" / name for owner in owners]


def iter_cache_entries(
    kind: str, name: str, limit: int, folder: Path | None = None
) -> Iterator[tuple[Path, bytes | OSError]]:
    """Yield path and content of each entry that exists; in place of the content the error why it is not believed.

    Args:
        kind: of the values: "text", "labels".
        name: 40 hexadecimal digits and a suffix.
        limit: bytes that it may have.
        folder: of the cache; default that of the toolkit.
    """
    for path in find_cache_entries(kind, name, folder):
        try:
            content: bytes | OSError = read_own_file(path, limit)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            content = error if isinstance(error, OSError) else OSError(str(error))
        yield path, content


def read_own_file(path: Path, limit: int) -> bytes:
    """Read a file of at most `limit` bytes that is this user's or root's, and that others cannot write.

    Raises:
        UntrustedFile: it is somebody else's, or may be written by others. FileTooLarge: it has more bytes.
    """

    def open_at_once(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe would block

    with open(path, "rb", opener=open_at_once) as file:
        state = os.fstat(file.fileno())
        _check_owner(path, state)
        data = file.read(limit + 1) if state.st_size <= limit else b""
        if max(state.st_size, len(data)) > limit:
            raise FileTooLarge(f"Expected at most {format_size(limit, exact=True)} in {path}, but it has more")
        if time.time() - state.st_mtime > _DAY:  # the time of its last use, to a day
            with suppress(OSError):
                os.utime(path)
    return data


def write_cache_entry(kind: str, name: str, data: bytes, folder: Path | None = None) -> None:
    """Write an entry into the user's own folder, whole or not at all, and now and then remove what is not used.

    Raises:
        OSError: it cannot be written.
    """
    path = find_cache_entries(kind, name, folder)[0]

    def write(temporary: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(temporary, flags, 0o644), "wb") as file:
            file.write(data)

    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    state = path.parent.lstat()
    if not stat.S_ISDIR(state.st_mode) or get_user_id() not in (None, state.st_uid):
        raise UntrustedFile(
            f"Expected a folder of this user, but {path.parent} is a link or somebody else's: remove it"
        )
    replace_file(path, write)
    count = _writes.get(path.parent, 0)
    _writes[path.parent] = count + 1
    if count % _WRITES_PER_PRUNING == 0:
        prune_cache(path.parent, keep=path)
        _remove_old_entries(path.parent.parent, kind)


def prune_cache(
    folder: Path,
    keep: Path | None = None,
    max_age: float = MAX_CACHE_AGE,
    max_bytes: int = MAX_CACHE_BYTES,
    max_files: int = MAX_CACHE_FILES,
) -> None:
    """Remove this user's entries that were not used for long, then the least recently used beyond the limits.

    The last use is the later of the times of access and change.

    Args:
        keep: a file that stays.
        max_age: seconds.
    """
    now = time.time()
    total = files = 0
    for used, size, path in sorted(_list_own_files(folder, _ENTRY_NAME), reverse=True):
        total += size
        files += 1
        is_leftover = path.name.startswith(".") and now - used > _DAY  # of a writer that was killed
        if path != keep and (is_leftover or now - used > max_age or total > max_bytes or files > max_files):
            total -= size
            files -= 1
            with suppress(OSError):
                path.unlink()


def _check_owner(path: Path, state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise UntrustedFile(f"Expected a plain file, but {path} is none: remove it")
    user = get_user_id()
    if user is None:
        return
    if state.st_uid not in (0, user):
        raise UntrustedFile(f"Expected a file of this user or root, but {path} is of user {state.st_uid}: remove it")
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = f"{stat.S_IMODE(state.st_mode):o}"
        raise UntrustedFile(f"Expected a file that others cannot write, but {path} has the mode {mode}: chmod go-w")


def _list_own_files(folder: Path, names: re.Pattern) -> Iterator[tuple[float, int, Path]]:
    """Yield last use, size and path of the user's files of such names right in a folder; links are none."""
    user = get_user_id()
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                state = entry.stat(follow_symlinks=False)
                if names.fullmatch(entry.name) and stat.S_ISREG(state.st_mode) and user in (None, state.st_uid):
                    yield max(state.st_atime, state.st_mtime), state.st_size, Path(entry.path)


def _remove_old_entries(folder: Path, kind: str) -> None:
    """Remove unused entries of earlier versions of the toolkit, which lay in the cache folder itself."""
    for used, _, path in _list_own_files(folder, re.compile(rf"{kind}-[0-9a-f]{{40}}\.(pt|json)")):
        if time.time() - used > MAX_CACHE_AGE:
            with suppress(OSError):
                path.unlink()
