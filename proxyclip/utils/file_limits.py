"""Reading of whole files up to a size, so that a file of somebody else cannot fill the memory."""

import zipfile
from pathlib import Path
from typing import BinaryIO

from proxyclip.utils.formats import format_size

MEGABYTE = 10**6


class FileTooLarge(ValueError):
    """A file with more bytes than its reader takes."""


def check_file_size(path: Path, limit: int, what: str) -> None:
    """Refuse a file of more than `limit` bytes before it is opened.

    Args:
        what: the kind of file, for the message: "a record", "a class list".

    Raises:
        FileTooLarge: it has more; the message has both sizes. OSError: no such file.
    """
    size = path.stat().st_size
    if size > limit:
        raise FileTooLarge(
            f"Expected {what} of at most {format_size(limit, exact=True)}, but {path} has "
            f"{format_size(size, exact=True)}: is it the right file?"
        )


def read_limited_bytes(path: Path, limit: int, what: str) -> bytes:
    """Read a whole file of at most `limit` bytes; one that never ends, such as a device or a pipe, is refused too.

    Args:
        what: see `check_file_size`.

    Raises:
        FileTooLarge: it has more. OSError: it cannot be read.
    """
    check_file_size(path, limit, what)
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:  # it has no size of its own, or grew since
        size = format_size(limit, exact=True)
        raise FileTooLarge(f"Expected {what} of at most {size}, but {path} has more: is it the right file?")
    return data


def read_limited_text(path: Path, limit: int, what: str) -> str:
    """Read a UTF-8 text file of at most `limit` bytes, as `read_limited_bytes`.

    Raises:
        FileTooLarge, UnicodeDecodeError: larger, or not UTF-8. OSError: it cannot be read.
    """
    return read_limited_bytes(path, limit, what).decode("utf-8")


def check_unpacked_size(file: Path | BinaryIO, limit: int, what: str) -> None:
    """Refuse a zip archive, such as an .npz file, whose members declare more than `limit` bytes together.

    Args:
        what: see `check_file_size`.

    Raises:
        FileTooLarge: they do. zipfile.BadZipFile, OSError: no archive.
    """
    with zipfile.ZipFile(file) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > limit:
        sizes = f"at most {format_size(limit, exact=True)}, but it unpacks to {format_size(size, exact=True)}"
        raise FileTooLarge(f"Expected {what} of {sizes}: is it the right file?")
