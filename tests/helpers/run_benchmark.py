"""Scripts of benchmarks/, dist_test.sh and dist_train.sh, called in the test's own process."""

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

# In place of Python for these scripts: prints torchrun's arguments instead of starting processes.
STUB = f"""#!/bin/sh
case "$2" in
    *torch.distributed*) shift 2; printf '%s\\n' "$@" ;;
    *) exec {sys.executable} "$@" ;;
esac
"""


def load_script(monkeypatch, name: str) -> ModuleType:
    """Import a script of benchmarks/."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module(name)


def call_script(monkeypatch, name: str, *arguments: str) -> int:
    """Return the exit code of `python benchmarks/NAME.py ARGUMENTS`; settings of the process are restored."""
    script = load_script(monkeypatch, name)
    log = logging.getLogger()
    level = log.level
    threads = torch.get_num_threads()
    grad = torch.is_grad_enabled()
    monkeypatch.setattr(sys, "argv", [f"benchmarks/{name}.py", *arguments])
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
    """Close the log files of a script, whose folders are gone when it ends."""
    for log in MMLogger._instance_dict.values():
        for handler in [handler for handler in log.handlers if isinstance(handler, logging.FileHandler)]:
            log.removeHandler(handler)
            handler.close()


def write_models(monkeypatch, folder: Path) -> None:
    """Write `folder/clip` and `folder/dino`: the real architectures with few, narrow layers of random weights."""
    log = logging.getLogger()
    level = log.level
    load_script(monkeypatch, "_real").write_models(folder, small=True)
    log.setLevel(level)


def call_distributed(stub: Path, argv: list[str], cwd: Path, **environment: str) -> tuple[int, int]:
    """Call the program that `bash dist_test.sh ...` or `bash dist_train.sh ...` starts, once.

    Args:
        stub: a file to write.
        argv: `bash`, the script and its arguments.

    Returns:
        Its exit code, and the number of processes.
    """
    stub.write_text(STUB)
    stub.chmod(0o755)
    env = os.environ | environment | {"PYTHON": str(stub)}
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    started = done.stdout.splitlines()
    script = next(number for number, word in enumerate(started) if word.endswith(("/eval.py", "/train.py")))
    launcher = started.index("--launcher")
    assert started[launcher + 1] == "pytorch"
    code = SCRIPTS[Path(started[script]).name](started[script + 1 : launcher] + started[launcher + 2 :])
    return code, int(started[started.index("--nproc-per-node") + 1])
