"""Scripts of benchmarks/, dist_test.sh and dist_train.sh, called in the test's own process."""

from __future__ import annotations

import importlib
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import torch
from mmengine.logging import MMLogger

from helpers.run_command import SCRIPTS
from proxyclip.utils.paths import ROOT

# What these scripts take for Python: prints the words it is to start processes with instead of starting them.
STUB = f"""#!/bin/sh
case "$2" in
    *torch.distributed*) shift 2; printf '%s\\n' "$@" ;;
    *) exec {sys.executable} "$@" ;;
esac
"""


def module(monkeypatch, name: str) -> ModuleType:
    """A script of benchmarks/ as a module."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module(name)


def call(monkeypatch, name: str, *words: str) -> int:
    """The exit code of `python benchmarks/NAME.py WORDS`; what it sets for its whole process is put back."""
    script, log = module(monkeypatch, name), logging.getLogger()
    threads, level, grad = torch.get_num_threads(), log.level, torch.is_grad_enabled()
    monkeypatch.setattr(sys, "argv", [f"benchmarks/{name}.py", *words])
    try:
        script.main()
    except SystemExit as stop:
        if not isinstance(stop.code, str):
            return int(stop.code or 0)
        print(stop.code, file=sys.stderr)
        return 1
    finally:
        torch.set_num_threads(threads)
        torch.set_grad_enabled(grad)
        log.setLevel(level)
        _close_logs()
    return 0


def _close_logs() -> None:
    """A script's folders are gone when it ends; nothing is to be written there any more."""
    for log in MMLogger._instance_dict.values():
        for handler in [one for one in log.handlers if isinstance(one, logging.FileHandler)]:
            log.removeHandler(handler)
            handler.close()


def write_models(monkeypatch, folder: Path) -> None:
    """`folder/clip` and `folder/dino`: the real architectures with few, narrow layers of random weights."""
    log = logging.getLogger()
    level = log.level
    module(monkeypatch, "_real").write_models(folder, small=True)
    log.setLevel(level)


def distributed(stub: Path, words: list[str], cwd: Path, **environment: str) -> tuple[int, int]:
    """Call what `bash dist_test.sh ...` or `bash dist_train.sh ...` starts, once: its exit code, and how many it was.

    Args:
        stub: a file to write. words: `bash`, the script and its arguments.
    """
    stub.write_text(STUB)
    stub.chmod(0o755)
    done = subprocess.run(
        words, cwd=cwd, env=os.environ | environment | {"PYTHON": str(stub)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    started = done.stdout.splitlines()
    script = next(number for number, word in enumerate(started) if word.endswith(("/eval.py", "/train.py")))
    launcher = started.index("--launcher")
    assert started[launcher + 1] == "pytorch"
    return (
        SCRIPTS[Path(started[script]).name](started[script + 1 : launcher] + started[launcher + 2 :]),
        int(started[started.index("--nproc-per-node") + 1]),
    )
