"""SIGKILL at random moments, then the same command again: `python benchmarks/kills.py`.

Kinds of runs: an evaluation with a loader process (`eval`), one of two processes (`ranks`), a grid of two cells
(`eval_all`) and a training (`train`), all of the embedded tiny world on the CPU. Each kind first runs undisturbed, then
is started and killed `--kills` times in one work dir, the whole group of processes or one of them, and then finished.
The metrics (`metrics_sha256`) and the tensors of the last checkpoint must be those of the undisturbed run. One table;
the exit code is 1 if a result differs.
"""

from __future__ import annotations

from _root import ROOT  # isort: skip

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from proxyclip.engine.training.checkpoint import find_whole_checkpoint
from proxyclip.models.trained.state_dict import load_checkpoint_file
from proxyclip.results.records import load_records
from proxyclip.utils.hashing import hash_chunks
from proxyclip.utils.text_table import TextTable

EVALUATION = ("--limit", "{limit}", "--save-every", "2", "--gallery", "0", "--device", "cpu", "--work-dir", "{folder}")
GRID = ("--configs", "configs/cfg_tinyworld.py", "--methods", "proxy", "maskclip", "--limit", "{limit}")
TRAINING = ("train_cfg.max_iters=12", "train_cfg.val_interval=100", "default_hooks.checkpoint.interval=2")
TRAIN_CONFIG = "configs/trained/maskclip_plus/tinyworld_segformer.py"
COMMANDS = {
    "eval": (sys.executable, "eval.py", *EVALUATION, "--workers", "1"),
    "ranks": ("bash", "dist_test.sh", "configs/cfg_tinyworld.py", "2", *EVALUATION),
    "eval_all": (sys.executable, "eval_all.py", *GRID, "--device", "cpu", "--work-dir", "{folder}"),
    "train": (sys.executable, "train.py", TRAIN_CONFIG, "--no-eval", "--resume", "--device", "cpu",
              "--work-dir", "{folder}", "--cfg-options", *TRAINING),
}  # fmt: skip
LONGEST_SECONDS = 900.0  # of one run


@dataclass
class KillSeries:
    """Runs of one kind that were killed, and the last one that was not."""

    kind: str
    kills: list[str] = field(default_factory=list)
    ended: int = 0  # before their kill
    resumed: str = ""
    equal: bool = False


def start_run(kind: str, folder: Path, limit: int) -> subprocess.Popen:
    """Start a run in a session of its own, with its output in a file beside the work dir."""
    command = [part.format(limit=limit, folder=folder) for part in COMMANDS[kind]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHON": sys.executable}
    with folder.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


def list_descendants(process: int) -> list[int]:
    """List the processes that a process has started, and theirs."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError, ValueError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
    descendants: list[int] = []
    queue = [process]
    while queue:
        started = children.get(queue.pop(), [])
        descendants += started
        queue += started
    return descendants


def kill_run(run: subprocess.Popen, generator: random.Random) -> str:
    """Kill the whole group of a run, its first process or another one of it; the others get a while to end."""
    descendants = list_descendants(run.pid)
    groups = {run.pid}  # a job of eval_all.py has a group of its own
    for process in descendants:
        with suppress(OSError):
            groups.add(os.getpgid(process))
    victim = generator.choice(["group", "first process", "another process"])
    with suppress(ProcessLookupError):
        if victim == "group" or (victim == "another process" and not descendants):
            victim = "group"
            os.killpg(run.pid, signal.SIGKILL)
        else:
            os.kill(generator.choice(descendants) if victim == "another process" else run.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        run.wait(30)
    for group in groups:
        with suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    run.wait()
    return victim


def read_result(kind: str, folder: Path) -> tuple[dict[str, str], str]:
    """Read the hashes of what a run has made, by name, and how much of it was not made by the last run."""
    if kind == "train":
        path = find_whole_checkpoint(next(folder.glob("train/**/iter_*.pth")).parent).path
        assert path is not None
        state = load_checkpoint_file(path)["state_dict"]
        return {path.name: hash_chunks(value.contiguous().numpy().tobytes() for value in state.values())}, ""
    records = load_records(folder)
    resumed = [str(record.get("resumed_images")) for record in records]
    return {record["identity"]: record["metrics_sha256"] for record in records}, "+".join(resumed)


def run_series(kind: str, folder: Path, limit: int, kills: int, generator: random.Random) -> KillSeries:
    """Kill runs of one kind, finish, and compare.

    Raises:
        RuntimeError: a run that was not killed failed; the message has the end of its output.
    """
    began = time.monotonic()
    finish_run(kind, folder / f"{kind}-calm", limit)
    seconds = time.monotonic() - began
    series = KillSeries(kind)
    target = folder / kind
    while len(series.kills) < kills and series.ended < 2 * kills:
        run = start_run(kind, target, limit)
        try:
            run.wait(seconds * generator.uniform(0.1, 0.8))
            series.ended += 1
            shutil.rmtree(target)  # a record would leave the next run nothing to do
        except subprocess.TimeoutExpired:
            series.kills.append(kill_run(run, generator))
    finish_run(kind, target, limit)
    calm, _ = read_result(kind, folder / f"{kind}-calm")
    disturbed, series.resumed = read_result(kind, target)
    leftovers = [path for path in target.rglob("*") if path.name.endswith(".npz")]
    series.equal = calm == disturbed and not leftovers
    return series


def finish_run(kind: str, folder: Path, limit: int) -> None:
    """Run to the end."""
    run = start_run(kind, folder, limit)
    if run.wait(LONGEST_SECONDS) != 0:
        text = folder.with_suffix(".log").read_text(errors="replace")
        raise RuntimeError(f"{kind} failed:\n{text[-2000:]}")


def print_series(rows: Sequence[KillSeries]) -> None:
    """Print one table."""
    cells = []
    for row in rows:
        victims = ", ".join(f"{row.kills.count(name)} {name}" for name in dict.fromkeys(row.kills))
        result = "identical" if row.equal else "DIFFERS"
        cells.append([row.kind, str(len(row.kills)), victims, str(row.ended), row.resumed, result])
    TextTable(["run", "kills", "victims", "ended before", "images taken up", "result"], cells).print()


def main() -> int:
    """Run all kinds, print one table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--kills", type=int, default=5, help="of each kind (default: 5)")
    parser.add_argument("--limit", type=int, default=40, help="images of an evaluation (default: 40)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    generator = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as place:
        rows = [run_series(kind, Path(place), args.limit, args.kills, generator) for kind in args.kinds]
    print_series(rows)
    return int(not all(row.equal for row in rows))


if __name__ == "__main__":
    sys.exit(main())
