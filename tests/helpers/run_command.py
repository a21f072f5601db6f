"""Commands of README and docs: their expectations, and their run in the test's own process, which is quicker."""

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


def parse_commands(text: str) -> dict[str, str]:
    """Return the commands of a document's bash blocks with their expectations.

    A comment behind each block has a line a command: `exit 0; text of the output; with --limit 1`. All its parts but
    the first may be missing; `record TEXT TEXT` expects a record with these texts, `with` has further arguments.
    """
    expectations: dict[str, str] = {}
    for block, comment in re.findall(r"```bash\n(.*?)```\n(?:<!-- expect:(.*?)-->)?", text, re.DOTALL):
        commands = [line.partition("#")[0].strip() for line in block.strip().splitlines()]
        expectations |= zip(commands, comment.strip().splitlines(), strict=True)
    return expectations


def enter_folder(monkeypatch, folder: Path) -> None:
    """Work in `folder`, and let eval_all.py call eval.py instead of starting it."""

    def call_eval(argv, env, log):
        if str(ROOT / "eval.py") not in argv:
            return run_command(argv, env, log)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as out, contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            return eval_command.main([*argv[2:], "--gallery", "0"])  # which would predict again

    monkeypatch.chdir(folder)
    monkeypatch.setenv("PWD", str(folder))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("DATA_ROOT", raising=False)
    monkeypatch.setattr("proxyclip.engine.sweep.jobs.run_command", call_eval)
    monkeypatch.syspath_prepend(ROOT / "datasets")
    for log in MMLogger._instance_dict.values():
        for handler in log.handlers:
            if type(handler) is logging.StreamHandler:
                handler.stream = sys.stderr  # not that of an earlier test, which is closed


def call_command(monkeypatch, command: str) -> int:
    """Return the exit code of `python PROGRAM ...` or `python -m proxyclip ...`."""
    program, *arguments = shlex.split(command.removeprefix("python "))
    if program == "-m":
        assert arguments.pop(0) == "proxyclip"
        main = run_module
    else:
        main = SCRIPTS.get(program) or importlib.import_module(Path(program).stem).main
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    try:
        return main(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
