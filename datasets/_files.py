"""Files of the prepare_*.py scripts: written whole, linked, cleaned up."""

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tqdm import tqdm

MAX_LIST_BYTES = 50 * 10**6


class Stop(Exception):
    """The script cannot continue: an input is missing."""

    code = 2


class Failure(Stop):
    """The script cannot continue: a file cannot be read or written."""

    code = 1


def walk(folder: Path, ends: str = "") -> list[Path]:
    """All files below a folder with this suffix, sorted; hidden ones are left out, and linked folders count once.

    Links that lead out of the folder are followed, with a note: a download that was unpacked should have none.
    """
    files = []
    visited: set[str] = set()
    for top, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(top)
        hidden = real in visited
        visited.add(real)
        folders[:] = [] if hidden else [name for name in folders if name[0] != "." and name != "__MACOSX"]
        files += [] if hidden else [Path(top, name) for name in names if name.endswith(ends) and name[0] != "."]
    _note_links([*map(Path, visited), *filter(Path.is_symlink, files)], folder)
    return sorted(files)


def _note_links(paths: Iterable[Path], folder: Path) -> None:
    """Print a note on the first of the paths that lies outside of the folder they were listed in."""
    base = folder.resolve()
    outside = sorted(path for path in paths if not path.resolve().is_relative_to(base))
    if outside:
        print(
            f"note: links in {folder} lead out of it and are followed, such as to {outside[0].resolve()}",
            file=sys.stderr,
        )


def read_list(path: Path) -> list[str]:
    """Read the names of a list file, one a line.

    Raises:
        Failure: it is larger than such lists are, is no text, or has a name that leads out of its folder.
    """
    try:
        lines = read_limited(path, MAX_LIST_BYTES).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise Failure(f"{path}: is no UTF-8 text; get it again") from None
    return [check_name(line.split()[0], path) for line in lines if line.strip()]


def check_name(name: str, source: Path) -> str:
    """Return the name of a file, of the list `source`, that stays below the folder it is looked for in.

    Raises:
        Failure: it is absolute, goes up, or has characters that no file name has.
    """
    parts = re.split(r"[/\\]", name)
    if not name or {"..", ""} & {*parts} or ":" in parts[0] or not name.isprintable():
        raise Failure(f"{source}: has the name {name[:80]!r}, which leads out of its folder; is it the right file?")
    return name


def read_limited(path: Path, limit: int) -> bytes:
    """Read a file of at most `limit` bytes.

    Raises:
        Failure: it has more.
    """
    if path.stat().st_size > limit:
        raise Failure(f"{path}: has more than {limit:,} bytes; is it the right file?")
    return path.read_bytes()


def write_list(path: Path, names: Iterable[str]) -> None:
    """Write a list file, sorted."""
    clean([path])
    write({path: "".join(f"{name}\n" for name in sorted(names)).encode()})


def write(contents: Mapping[Path, bytes | Path]) -> None:
    """Write files together; a path as content is linked hard, or copied.

    Raises:
        Failure: one cannot be written.
    """
    parts = {target: target.with_name(f".{target.name}.{os.getpid()}.part") for target in contents}
    target = Path()
    try:
        for target, part in parts.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            _fill(part, contents[target])
        for target, part in parts.items():
            part.replace(target)
    except OSError as error:
        raise Failure(f"{target}: cannot be written ({error.strerror}); is there space, and the right to?") from None
    finally:
        for part in parts.values():
            with contextlib.suppress(OSError):
                part.unlink()  # replacing a file by a link to itself leaves the link behind


def _fill(part: Path, content: bytes | Path) -> None:
    if isinstance(content, bytes):
        part.write_bytes(content)
        return
    try:
        os.link(content.resolve(), part)
    except OSError:
        shutil.copyfile(content, part)


def clean(targets: Iterable[Path]) -> None:
    """Remove unfinished versions of these files, left by dead processes."""
    names: dict[Path, set[str]] = {}
    for target in targets:
        names.setdefault(target.parent, set()).add(target.name)
    for folder, known in names.items():
        for path in folder.glob(".*.part"):
            match = re.fullmatch(r"\.(.*?)(?:\.(\d{1,9}))?\.part", path.name)
            if match and match[1] in known and not _runs(match[2]):
                path.unlink(missing_ok=True)


def _runs(pid: str | None) -> bool:
    if pid is None or int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # of another user
    try:  # a zombie is dead too, where this can be seen
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True


def place(source: Path, target: Path, copy: bool) -> None:
    """Make the folder `target`: a link, or with `copy` a copy; existing files stay.

    Raises:
        Failure: it cannot be linked, or a file cannot be written.
    """
    if target.exists() and source.exists() and target.samefile(source):
        return
    if not source.is_dir():
        if not target.exists():
            print(f"note: there is no {source}; link or copy that folder to {target} yourself", file=sys.stderr)
    elif copy and not target.is_symlink():
        goals = {target / path.relative_to(source): path for path in walk(source)}
        clean(goals)
        for goal, path in tqdm(goals.items(), desc=f"copying {target.name}", unit="file", disable=None):
            if not goal.is_file() or goal.stat().st_size != path.stat().st_size:
                write({goal: path.read_bytes()})
    elif target.exists():
        print(f"{target} is there already")
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.unlink(missing_ok=True)  # a link that leads nowhere
            target.symlink_to(source.resolve(), target_is_directory=True)
        except OSError as error:
            raise Failure(f"{target}: cannot link to {source} ({error.strerror}); try --copy") from None
