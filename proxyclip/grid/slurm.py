"""A batch script for Slurm that evaluates the cells of a grid, each as one task of a job array.

The options are those of Slurm's own documentation of sbatch; no Slurm has been at hand to submit a script to.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from proxyclip import results
from proxyclip.grid.cells import Cell, arguments, per_cell
from proxyclip.paths import ROOT

CPUS = 8  # for each process: one computes, the others load images
SHORT = {"J": "job-name", "a": "array", "c": "cpus-per-task", "n": "ntasks", "o": "output", "G": "gpus"}
GPU_OPTIONS = {"gres", "gpus", "gpus-per-task", "gpus-per-node"}  # one of them takes the place of another

_TEXT = """#!/usr/bin/env bash
{options}
#
# Written by eval_all.py: {count}, one a task of the array. Submit it with sbatch. What a task has counted when its
# time is over, or when it is requeued, is saved: 60 s before the end Slurm sends SIGTERM (--signal=B:TERM@60) to the
# batch shell, whose place the evaluation has taken (exec below), so that the signal reaches it.
# When the array is through, run the same eval_all.py command again: it writes a script for what is left, if anything.
set -euo pipefail
cd {folder}
export PYTHON=${{PYTHON:-{python}}}

case ${{SLURM_ARRAY_TASK_ID:?expected to run as a task of a Slurm array: submit this file with sbatch}} in
{tasks}
*)
    echo "error: expected SLURM_ARRAY_TASK_ID to be 0 to {last}, but got $SLURM_ARRAY_TASK_ID" >&2
    exit 2
    ;;
esac

exec {program} "$@"
"""


def write(cells: Sequence[Cell], args: argparse.Namespace) -> str:
    """Write the script of the cells that wait to `args.slurm`, and say in words how to submit it.

    Raises:
        ValueError: an option that would break the script. OSError: the file cannot be written.
    """
    waiting = [cell for cell in cells if cell.state == "waiting" and cell.twin is None]
    for cell in cells:
        if cell.state == "waiting":
            cell.state = "would run"
    if not waiting:
        return "nothing is left to run: no script was written"
    path = Path(args.slurm)
    path.parent.mkdir(parents=True, exist_ok=True)
    (Path(args.work_dir) / "logs" / "slurm").mkdir(parents=True, exist_ok=True)
    text = script(waiting, args)

    def fill(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")
        temporary.chmod(0o755)

    results.replace(path, fill)
    tasks = "1 task" if len(waiting) == 1 else f"{len(waiting)} tasks"
    return f"{path}: {tasks}. Submit it with: sbatch {shlex.quote(str(path))}"


def script(cells: Sequence[Cell], args: argparse.Namespace) -> str:
    """The text of the script that evaluates these cells, the first as task 0."""
    processes = per_cell(args)
    tasks = []
    for number, cell in enumerate(cells):
        words = ["--config", cell.config] if processes is None else [cell.config, str(processes)]
        tasks.append(f"{number})\n    set -- {shlex.join([*words, *arguments(cell, args)])}\n    ;;")
    start, program = ('"$PYTHON"', "eval.py") if processes is None else ("bash", "dist_test.sh")
    return _TEXT.format(
        options="\n".join(f"#SBATCH {option}" for option in options(len(cells), args)),
        count="1 evaluation" if len(cells) == 1 else f"{len(cells)} evaluations",
        folder=shlex.quote(str(Path.cwd())),
        python=shlex.quote(sys.executable),
        tasks="\n".join(tasks),
        last=len(cells) - 1,
        program=f"{start} {shlex.quote(str(ROOT / program))}",
    )


def options(count: int, args: argparse.Namespace) -> list[str]:
    """The options of sbatch for an array of `count` tasks: a person's own, and the usual ones for the rest."""
    processes = per_cell(args) or 1
    most = f"%{args.slurm_limit}" if args.slurm_limit else ""
    output = Path(args.work_dir).resolve() / "logs" / "slurm" / "%A-%a.log"
    usual = {
        "job-name": "proxyclip",
        "array": f"0-{count - 1}{most}",
        "ntasks": "1",
        "cpus-per-task": str(CPUS * processes),
        "gres": "" if args.device == "cpu" else f"gpu:{processes}",
        "output": _quoted(str(output)),
        "open-mode": "append",
        "requeue": None,
        "signal": "B:TERM@60",
    }
    own = [_option(word) for word in args.slurm_options]
    names = {_name(word) for word in own}
    if "array" in names:
        raise ValueError("--slurm-options: the array is the grid's; --slurm-limit N says how many tasks run at once")
    if names & GPU_OPTIONS:
        names |= GPU_OPTIONS
    if "no-requeue" in names:
        names.add("requeue")
    kept = {name: value for name, value in usual.items() if name not in names and value != ""}
    return [f"--{name}" if value is None else f"--{name}={value}" for name, value in kept.items()] + own


def _option(word: str) -> str:
    """`--time=4:00:00` for `time=4:00:00`; what begins with a dash stays as it is."""
    if not word.strip() or "\n" in word:
        raise ValueError(f"--slurm-options: expected options of sbatch such as time=4:00:00, but got {word!r}")
    return word if word.startswith("-") else f"--{word}"


def _name(option: str) -> str:
    name = option.split()[0].split("=")[0]
    return name[2:] if name.startswith("--") else SHORT.get(name[1:2], name[1:2])


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text else text
