"""Atomic writes of files and folders."""

import os
import shutil
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


def replace_file(target: Path, write: Callable[[Path], Any]) -> None:
    """Replace `target` by a new file, whole or not at all, even if the power fails.

    Args:
        write: writes the content to its argument, the path of a temporary file beside the target.

    Raises:
        OSError: it cannot be written (no space, say) or put in place; the old file is as it was.
    """
    mark = f"{os.getpid()}-{threading.get_ident()}-{uuid.uuid4().hex[:8]}"
    temporary = target.with_name(f".{target.name}.{mark}.tmp")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
        with suppress(OSError):  # where folders can be opened, flush its entries to the disk
            handle = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def replace_folder(target: Path, write: Callable[[Path], Any]) -> None:
    """Delete the folder `target`, and replace it by a complete new one or none.

    Args:
        write: writes the files into its argument, an empty temporary folder beside the target.
    """
    temporary = target.with_name(f".{target.name}.new")  # the same each time: a killed run leaves one at most
    for folder in (temporary, target):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        write(temporary)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
