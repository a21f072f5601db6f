"""What is asked of an evaluation: the command line of eval.py as a value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

DEFAULT_CONFIG = "configs/cfg_tinyworld.py"


@dataclass(frozen=True)
class Options:
    """What the command line of eval.py says."""

    config: str = DEFAULT_CONFIG
    work_dir: str = "work_dirs"
    data_root: str | None = None
    cfg_options: tuple[str, ...] = ()
    limit: int | None = None
    show_dir: str | None = None
    launcher: str = "none"
    device: str = "auto"
    workers: int | None = None
    method: str | None = None
    vfm: str | None = None
    clip: str | None = None
    checkpoint: str | None = None
    check: bool = True
    scoring: str = "correct"
    skip_bad: bool = False
    fresh: bool = False
    save_every: int = 50
    gallery: int = 6
    debug: bool = False

    def but(self, **changes: Any) -> Options:
        """The same options with some changed."""
        return replace(self, **changes)
