"""Run sweep cells in subprocesses with logs and progress."""

import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from proxyclip.engine.config.options import SweepOptions
from proxyclip.engine.errors import format_error
from proxyclip.engine.sweep import jobs
from proxyclip.engine.sweep.cells import Cell, build_eval_command, find_kept_record, refresh_identity
from proxyclip.results.records import load_record
from proxyclip.utils.file_limits import MEGABYTE, read_limited_text

PROGRESS_VARIABLE = "PROXYCLIP_PROGRESS"  # the variable with the file that eval.py writes its progress to
_MAX_PROGRESS_BYTES = 100_000
_MAX_LOG_BYTES = MEGABYTE  # of a job that failed, from the end


def run_cells(cells: Sequence[Cell], options: SweepOptions, on_update: Callable[[Cell], None]) -> bool:
    """Run the pending cells, one in each job slot; a failure stops no other.

    Returns:
        True if a signal ended it early.
    """
    slots = jobs.job_slots(options.gpu_names, options.gpus_per_job, options.jobs)
    waiting = [cell for cell in cells if cell.is_pending]

    def run_pending(cell: Cell, slot: Mapping[str, str | None]) -> None:
        cell.state = "running"
        cell.progress = folder / f"{cell.number}.json"
        start = time.monotonic()
        on_update(cell)
        try:
            _run_cell(cell, options, slot)
        except Exception as error:
            cell.state = "failed"
            cell.note = format_error(error)
        cell.seconds = time.monotonic() - start
        on_update(cell)

    with tempfile.TemporaryDirectory(prefix="proxyclip-") as name, jobs.forward_stop_signals():
        folder = Path(name)
        jobs.run_in_slots(waiting, slots[: max(1, len(waiting))], run_pending)
        interrupted = jobs.stop_requested.is_set()
    for cell in cells:
        if cell.twin is not None:
            cell.run = cell.twin.run
            cell.state = "kept" if cell.twin.run else cell.twin.state
        if cell.state == "waiting":
            cell.state = "not run"
    return interrupted


def _run_cell(cell: Cell, options: SweepOptions, slot: Mapping[str, str | None]) -> None:
    cell.run = None if options.force else find_kept_record(cell, options, warn=False)
    if cell.run is not None:  # another eval_all.py has run it meanwhile
        cell.state = "kept"
        return
    parts = (f"{cell.number:03d}", cell.short_config, *cell.names[:2])
    name = "-".join(re.sub(r"[^\w.+]+", "_", part)[-60:] for part in parts)
    log = Path(options.work_dir) / "logs" / "eval_all" / f"{name}.log"
    before = log.stat().st_size if log.exists() else 0
    environment = jobs.merge_environment(slot, {PROGRESS_VARIABLE: str(cell.progress)})
    code = jobs.run_command(build_eval_command(cell, options), environment, log)
    if code != 0 and (jobs.stop_requested.is_set() or code in jobs.INTERRUPT_EXIT_CODES):
        cell.state = "interrupted"
        cell.note = f"log: {log}"
    elif code != 0:
        text = _read_log_end(log, before)
        cell.state = "failed"
        cell.note = f"{jobs.describe_failure(text, code)} (log: {log})"
    else:
        cell.state = "done"
        cell.run = _find_new_record(cell, options)
        if cell.run is None:
            cell.note = "its record has another identity: code, config, data or weights changed while it ran"
        elif cell.run.get("left_out"):
            cell.note = f"images left out: {len(cell.run['left_out'])}"


def _find_new_record(cell: Cell, options: SweepOptions) -> dict[str, Any] | None:
    """Find the record of a cell that has just run; weights that it downloaded are part of its identity."""
    run = load_record(Path(options.work_dir), cell.identity)
    if run is None:
        with suppress(Exception):  # what cannot be resolved any more has no record either
            refresh_identity(cell, options)
            run = load_record(Path(options.work_dir), cell.identity)
    return run


def _read_log_end(log: Path, start: int) -> str:
    """Read what a log has from a byte on, of much the end."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(start, file.seek(0, os.SEEK_END) - _MAX_LOG_BYTES))
        return file.read(_MAX_LOG_BYTES).decode(errors="replace")


def read_progress(cell: Cell) -> dict[str, float] | None:
    """Read `done`, `total` and `images_per_second` of a running cell, or None."""
    try:
        if cell.progress is None:
            return None
        progress = json.loads(read_limited_text(cell.progress, _MAX_PROGRESS_BYTES, "a progress file"))
        return {name: float(progress[name] or 0) for name in ("done", "total", "images_per_second")}
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
