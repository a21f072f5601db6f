"""Slurm batch script that evaluates the cells of a sweep as a job array.

The options are those of Slurm's own documentation of sbatch; no Slurm has been at hand to submit a script to.
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from proxyclip.engine.config.options import SweepOptions
from proxyclip.engine.sweep.cells import Cell, build_eval_arguments
from proxyclip.utils.io import replace_file
from proxyclip.utils.paths import ROOT

CPUS_PER_PROCESS = 8  # for each process: one computes, the others load images
SBATCH_SHORT_OPTIONS = {"J": "job-name", "a": "array", "c": "cpus-per-task", "n": "ntasks", "o": "output", "G": "gpus"}
SBATCH_GPU_OPTIONS = {"gres", "gpus", "gpus-per-task", "gpus-per-node"}  # which exclude each other

_SCRIPT_TEMPLATE = """#!/usr/bin/env bash
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


def write_slurm_script(cells: Sequence[Cell], sweep: SweepOptions) -> str:
    """Write the script of the pending cells to `sweep.slurm`.

    Returns:
        A message on how to submit it.

    Raises:
        ValueError: an option that would break the script.
        OSError: the file cannot be written.
    """
    waiting = [cell for cell in cells if cell.is_pending]
    for cell in cells:
        if cell.state == "waiting":
            cell.state = "would run"
    if not waiting:
        return "nothing is left to run: no script was written"
    path = Path(sweep.slurm or "")
    path.parent.mkdir(parents=True, exist_ok=True)
    (Path(sweep.work_dir) / "logs" / "slurm").mkdir(parents=True, exist_ok=True)
    text = _format_script(waiting, sweep)

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")
        temporary.chmod(0o755)

    replace_file(path, write)
    tasks = "1 task" if len(waiting) == 1 else f"{len(waiting)} tasks"
    return f"{path}: {tasks}. Submit it with: sbatch {shlex.quote(str(path))}"


def _format_script(cells: Sequence[Cell], sweep: SweepOptions) -> str:
    """Format the script that evaluates these cells, the first as task 0."""
    processes = sweep.processes_per_cell
    tasks = []
    for number, cell in enumerate(cells):
        argv = ["--config", cell.config] if processes is None else [cell.config, str(processes)]
        tasks.append(f"{number})\n    set -- {shlex.join([*argv, *build_eval_arguments(cell, sweep)])}\n    ;;")
    start, program = ('"$PYTHON"', "eval.py") if processes is None else ("bash", "dist_test.sh")
    return _SCRIPT_TEMPLATE.format(
        options="\n".join(f"#SBATCH {option}" for option in _sbatch_options(len(cells), sweep)),
        count="1 evaluation" if len(cells) == 1 else f"{len(cells)} evaluations",
        folder=shlex.quote(str(Path.cwd())),
        python=shlex.quote(sys.executable),
        tasks="\n".join(tasks),
        last=len(cells) - 1,
        program=f"{start} {shlex.quote(str(ROOT / program))}",
    )


def _sbatch_options(count: int, sweep: SweepOptions) -> list[str]:
    """Build the sbatch options of an array of `count` tasks: defaults and the user's."""
    processes = sweep.processes_per_cell or 1
    max_tasks = f"%{sweep.slurm_limit}" if sweep.slurm_limit else ""
    output = Path(sweep.work_dir).resolve() / "logs" / "slurm" / "%A-%a.log"
    default_options = {
        "job-name": "proxyclip",
        "array": f"0-{count - 1}{max_tasks}",
        "ntasks": "1",
        "cpus-per-task": str(CPUS_PER_PROCESS * processes),
        "gres": "" if sweep.device == "cpu" else f"gpu:{processes}",
        "output": f'"{output}"' if " " in str(output) else str(output),
        "open-mode": "append",
        "requeue": None,
        "signal": "B:TERM@60",
    }
    user_options = [_with_dashes(option) for option in sweep.slurm_options]
    flags = [option.split()[0].split("=")[0] for option in user_options]
    names = {flag[2:] if flag.startswith("--") else SBATCH_SHORT_OPTIONS.get(flag[1:2], flag[1:2]) for flag in flags}
    if "array" in names:
        raise ValueError("--slurm-options: the array is the grid's; --slurm-limit N says how many tasks run at once")
    if names & SBATCH_GPU_OPTIONS:
        names |= SBATCH_GPU_OPTIONS
    if "no-requeue" in names:
        names.add("requeue")
    defaults = {name: value for name, value in default_options.items() if name not in names and value != ""}
    return [f"--{name}" if value is None else f"--{name}={value}" for name, value in defaults.items()] + user_options


def _with_dashes(option: str) -> str:
    """Add dashes: `--time=4:00:00` for `time=4:00:00`, if it has none."""
    if not option.strip() or "\n" in option:
        raise ValueError(f"--slurm-options: expected options of sbatch such as time=4:00:00, but got {option!r}")
    return option if option.startswith("-") else f"--{option}"
