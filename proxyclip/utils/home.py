"""Home folder for user ids that have none, as in a container that runs as a bare number."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path


def prepare_home() -> None:
    """Set HOME to a temporary folder where no home is known.

    Libraries look for their caches and settings there when they are imported, and fail without one. Child processes
    inherit it; the process that made it removes it at its end.
    """
    try:
        Path.home()
    except RuntimeError:
        folder = tempfile.mkdtemp(prefix="proxyclip-home-")
        os.environ["HOME"] = folder
        atexit.register(_remove_home, folder, os.getpid())
        print(
            "note: this user has no home folder: caches and downloads last for this run only. Set HOME to keep them",
            file=sys.stderr,
        )


def _remove_home(folder: str, owner: int) -> None:
    """Remove the folder in the process that made it, not in those forked from it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
