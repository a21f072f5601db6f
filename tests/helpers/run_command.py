"""Run commands of README and docs in the test's own process, which saves the start of Python and MMSegmentation."""

from __future__ import annotations

import contextlib
import importlib
import logging
import re
import shlex
import sys
from pathlib import Path

from mmengine.logging import MMLogger

from proxyclip.cli import check, demo, eval_all, train
from proxyclip.cli import eval as eval_command
from proxyclip.cli import main as run_module
from proxyclip.engine.sweep.jobs import run_command
from proxyclip.utils.paths import ROOT

SCRIPTS = {
    "eval.py": eval_command.main,
    "eval_all.py": eval_all.main,
    "demo.py": demo.main,
    "train.py": train.main,
    "datasets/check.py": check.main,
}


def commands(text: str) -> list[str]:
    """The lines of all bash blocks of a document, without comments."""
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    return [line.partition("#")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def enter(monkeypatch, folder: Path) -> None:
    """Work in `folder`, and let eval_all.py call eval.py instead of starting it."""
    start = run_command

    def launch(words, env, log):
        if str(ROOT / "eval.py") not in words:
            return start(words, env, log)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as out, contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            return eval_command.main([*words[2:], "--gallery", "0"])  # which would predict again

    monkeypatch.chdir(folder)
    monkeypatch.setenv("PWD", str(folder))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("DATA_ROOT", raising=False)
    monkeypatch.setattr("proxyclip.engine.sweep.run.run_command", launch)
    monkeypatch.syspath_prepend(ROOT / "datasets")
    for log in MMLogger._instance_dict.values():
        for handler in log.handlers:
            if type(handler) is logging.StreamHandler:
                handler.stream = sys.stderr  # not that of an earlier test, which is closed


def call(monkeypatch, command: str, *more: str) -> int:
    """Exit code of `python PROGRAM ...` or `python -m proxyclip ...`, with further arguments."""
    python, program, *arguments = [*shlex.split(command), *more]
    assert python == "python"
    if program == "-m":
        program, *arguments = arguments
        assert program == "proxyclip"
        main = run_module
    else:
        main = SCRIPTS.get(program) or importlib.import_module(Path(program).stem).main
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    try:
        return main(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
