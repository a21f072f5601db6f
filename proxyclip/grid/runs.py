"""The running of a grid's cells: each in a process of its own, side by side, with a log and a word on how far it is."""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from proxyclip import reporting, results
from proxyclip.grid import cells, jobs
from proxyclip.grid.cells import Cell

PROGRESS = "PROXYCLIP_PROGRESS"  # the variable that tells eval.py where to write how far it is


def run(found: Sequence[Cell], args: argparse.Namespace, tell: Callable[[Cell], None]) -> bool:
    """Run the cells that wait, as many at once as there are slots; a failure stops no other.

    Returns:
        Whether a signal ended it early.
    """
    gpus = args.gpus if isinstance(args.gpus, list) else []
    slots = jobs.slots(gpus, args.gpus_per_job, args.jobs)
    waiting = [cell for cell in found if cell.state == "waiting" and cell.twin is None]

    def one(cell: Cell, slot: Mapping[str, str | None]) -> None:
        cell.state, cell.progress = "running", folder / f"{cell.number}.json"
        start = time.monotonic()
        tell(cell)
        try:
            _run(cell, args, slot)
        except Exception as error:
            cell.state, cell.note = "failed", reporting.message(error)
        cell.seconds = time.monotonic() - start
        tell(cell)

    with tempfile.TemporaryDirectory(prefix="proxyclip-") as name, jobs.interruptible():
        folder = Path(name)
        jobs.side_by_side(waiting, slots[: max(1, len(waiting))], one)
        interrupted = jobs.stopping.is_set()
    for cell in found:
        if cell.twin is not None:
            cell.run, cell.state = cell.twin.run, "kept" if cell.twin.run else cell.twin.state
        if cell.state == "waiting":
            cell.state = "not run"
    return interrupted


def _run(cell: Cell, args: argparse.Namespace, slot: Mapping[str, str | None]) -> None:
    cell.run = None if args.force else cells.kept(cell, args)
    if cell.run is not None:  # another eval_all.py has run it meanwhile
        cell.state = "kept"
        return
    log = log_file(cell, args.work_dir)
    before = log.stat().st_size if log.exists() else 0
    code = jobs.launch(cells.command(cell, args), jobs.environment(slot, {PROGRESS: str(cell.progress)}), log)
    if code != 0 and (jobs.stopping.is_set() or code in jobs.INTERRUPTED):
        cell.state, cell.note = "interrupted", f"log: {log}"
    elif code != 0:
        text = log.read_bytes()[before:].decode(errors="replace") if log.exists() else ""
        cell.state, cell.note = "failed", f"{jobs.failure(text, code)} (log: {log})"
    else:
        cell.state, cell.run = "done", results.find(Path(args.work_dir), cell.identity)
        if cell.run is None:
            cell.note = "its record has another identity: code, config, data or weights changed while it ran"
        elif cell.run.get("left_out"):
            cell.note = f"images left out: {len(cell.run['left_out'])}"


def log_file(cell: Cell, work_dir: str) -> Path:
    """Where the output of a cell's run goes."""
    words = (f"{cell.number:03d}", cell.short, cell.named[0], cell.named[1])
    name = "-".join(re.sub(r"[^\w.+]+", "_", word)[-60:] for word in words)
    return Path(work_dir) / "logs" / "eval_all" / f"{name}.log"


def how_far(cell: Cell) -> dict[str, float] | None:
    """What the run of a cell last said of itself: `done`, `total`, `images_per_second`; None before it does."""
    try:
        said = json.loads(cell.progress.read_text()) if cell.progress else None
        return {name: float(said[name] or 0) for name in ("done", "total", "images_per_second")} if said else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
