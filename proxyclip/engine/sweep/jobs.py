"""Child processes of a sweep, in parallel, none of which outlives its parent.

A stop signal is forwarded to the children, which save their counts; on Linux even if the parent is killed.
"""

import itertools
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from proxyclip.utils.system import count_cores, kill_process_tree

KILL_AFTER_SECONDS = 45.0  # between SIGTERM and SIGKILL; torchrun allows its own processes 30
INTERRUPT_EXIT_CODES = (130, 143, -signal.SIGINT, -signal.SIGTERM)  # of a run that a signal ended
STOP_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
_FOLLOWER_MESSAGE = "another process of this run ended early"  # of processes that only follow the one that failed
_MAX_MESSAGE_LINES = 6  # of an error's message

stop_requested = threading.Event()  # set by a signal: nothing more is started
_children: set[subprocess.Popen] = set()
_PDEATHSIG_SCRIPT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: the signal for this process when its parent is gone
try:
    os.execvp(sys.argv[1], sys.argv[1:])
except OSError as error:
    sys.exit(f"error: {sys.argv[1]} cannot be started: {error}")
"""
# prefix of a command: sets the signal, then becomes the command (Python code between fork and exec is not safe)
_PDEATHSIG_COMMAND = (sys.executable, "-I", "-S", "-c", _PDEATHSIG_SCRIPT) if sys.platform == "linux" else ()
T = TypeVar("T")


def run_command(argv: Sequence[str], env: Mapping[str, str], log: Path) -> int:
    """Run a command with its output appended to a file.

    Returns:
        Its exit code, negative if a signal ended it.

    Raises:
        OSError: the program or the log cannot be opened.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            [*_PDEATHSIG_COMMAND, *argv],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C comes to it from here only
        )
        _children.add(child)
        try:
            if stop_requested.is_set():  # the signal came while it started
                child.terminate()
            code = child.wait()
        finally:
            _children.discard(child)
    if code != 0:  # what it has started may have been left behind
        with suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
    return code


def run_in_slots(
    work: Sequence[T], slots: Sequence[Mapping[str, Any]], run_item: Callable[[T, Mapping[str, Any]], None]
) -> None:
    """Call `run_item(item, slot)` for all items in order, one at a time in each slot.

    No item is started once `stop_requested` is set.
    """
    free: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
    for slot in slots:
        free.put(slot)

    def run_in_free_slot(item: T) -> None:
        slot = free.get()
        try:
            if not stop_requested.is_set():
                run_item(item, slot)
        finally:
            free.put(slot)

    if len(slots) == 1:
        for item in work:
            run_in_free_slot(item)
        return
    with ThreadPoolExecutor(len(slots)) as pool:
        list(pool.map(run_in_free_slot, work))


def job_slots(gpus: Sequence[str] = (), each: int = 1, jobs: int = 1) -> list[dict[str, str | None]]:
    """Build the environment variables of each job slot; None removes a variable.

    Args:
        gpus: names as in CUDA_VISIBLE_DEVICES, `each` to a job; none: `jobs` jobs share the machine.
    """
    groups = [list(gpus[i : i + each]) for i in range(0, len(gpus), each)] or [[] for _ in range(jobs)]
    slots: list[dict[str, str | None]] = []
    for group in groups:
        slot: dict[str, str | None] = {"CUDA_VISIBLE_DEVICES": ",".join(group)} if group else {}
        if len(groups) > 1:
            threads = str(max(1, count_cores() // (len(groups) * max(1, len(group)))))
            if not os.environ.get("OMP_NUM_THREADS"):
                slot |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
            slot["PORT"] = None  # dist_test.sh then finds a free one for each
        slots.append(slot)
    return slots


def merge_environment(*changes: Mapping[str, str | None]) -> dict[str, str]:
    """Merge changes into this process's environment; None removes a variable."""
    merged: dict[str, str | None] = dict(os.environ)
    for change in changes:
        merged |= change
    return {name: value for name, value in merged.items() if value is not None}


@contextmanager
def forward_stop_signals() -> Iterator[None]:
    """Forward stop signals to the children inside the block.

    The first one sets `stop_requested` and terminates them; a second, or `KILL_AFTER_SECONDS`, kills them.
    """
    timers: list[threading.Timer] = []

    def stop(*_: object) -> None:
        if stop_requested.is_set():
            _kill_children()
            return
        stop_requested.set()
        for child in tuple(_children):
            child.terminate()
        timers.append(threading.Timer(KILL_AFTER_SECONDS, _kill_children))
        timers[0].daemon = True
        timers[0].start()

    main = threading.current_thread() is threading.main_thread()  # no other one can take signals
    handled = [getattr(signal, name) for name in STOP_SIGNALS if main and hasattr(signal, name)]
    old_handlers = {number: signal.signal(number, stop) for number in handled}
    try:
        yield
    finally:
        for number, handler in old_handlers.items():
            signal.signal(number, handler)
        for timer in timers:
            timer.cancel()
        stop_requested.clear()


def _kill_children() -> None:
    for child in tuple(_children):
        kill_process_tree(child.pid)


def describe_failure(text: str, code: int) -> str:
    """Describe why a run failed: its last "error: ..." message, or else its exit code."""
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("error: ")]
    starts = [i for i in starts if _FOLLOWER_MESSAGE not in lines[i]] or starts
    if starts:
        first, *rest = lines[starts[-1] :][:_MAX_MESSAGE_LINES]
        message = itertools.takewhile(lambda line: not re.match(r"error: |\(the traceback is in |\$ ", line), rest)
        return "\n".join([first, *message]).removeprefix("error: ").strip()
    if code < 0:
        name = signal.Signals(-code).name if -code in list(map(int, signal.Signals)) else f"signal {-code}"
        return f"ended by {name}" + (": out of memory, perhaps" if -code == signal.SIGKILL else "")
    return f"exit code {code}"
