"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


def replace(target: Path, write: Callable[[Path], Any]) -> None:
    """Put a new file in the place of `target`, whole or not at all, even if the power fails.

    Args:
        write: writes the content to the path it is given, a temporary file beside the target.

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
        _sync_folder(target.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder last; systems that cannot open folders do it by themselves."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
