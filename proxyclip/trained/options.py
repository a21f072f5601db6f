"""What is asked of a training: the command line of train.py as a value."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from ..options import Options


@dataclass(frozen=True)
class TrainOptions:
    """What the command line of train.py says."""

    config: str
    work_dir: str = "work_dirs"
    data_root: str | None = None
    cfg_options: tuple[str, ...] = ()
    resume: bool = False
    fresh: bool = False
    amp: bool = False
    seed: int | None = None
    load_from: str | None = None
    device: str = "auto"
    workers: int | None = None
    launcher: str = "none"
    evaluate: bool = True
    debug: bool = False

    def evaluation(self, checkpoint: Path | str | None = None) -> Options:
        """The same for the evaluation of a checkpoint."""
        same = ("config", "work_dir", "data_root", "cfg_options", "device", "workers", "launcher", "debug")
        file = None if checkpoint is None else str(checkpoint)
        return Options(checkpoint=file, **{name: getattr(self, name) for name in same})

    def command(self, checkpoint: Path | str) -> str:
        """The command line of that evaluation."""
        words = ["python", "eval.py", "--config", self.config, "--checkpoint", str(checkpoint)]
        words += ["--work-dir", self.work_dir] if self.work_dir != "work_dirs" else []
        words += ["--data-root", self.data_root] if self.data_root is not None else []
        words += ["--cfg-options", *self.cfg_options] if self.cfg_options else []
        return shlex.join(words)
