"""Jobs of the prepare_*.py scripts: parallel, resumable, reported."""

import contextlib
import functools
import os
import signal
import sys
import threading
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any, NamedTuple

from _files import Failure, clean, write
from _maps import Bad, complete
from tqdm import tqdm

AGAIN = "run the same command again: finished files are kept"


class Job(NamedTuple):
    """Source file and the outputs made of it.

    `make(*inputs)` is a function at the top level of a module whose first input is the source file. It returns the
    contents
    of `outputs`, in their order: bytes, or the path of a file to link. Without outputs it only checks.
    """

    name: str
    make: Callable[..., Sequence[bytes | Path]]
    inputs: tuple[Any, ...]
    outputs: tuple[Path, ...] = ()


class Report(NamedTuple):
    """Names of the finished jobs of a split, and the number of failed ones."""

    done: list[str]
    failed: int


def run(split: str, jobs: Sequence[Job], args: Namespace, expected: int | None = None) -> Report:
    """Run the jobs of a split in `args.workers` processes and print a summary.

    Raises:
        Failure: an output cannot be written, the rest is given up; or two jobs have the same.
    """
    targets = Counter(path for job in jobs for path in job.outputs)
    twice = next((path for path, times in targets.items() if times > 1), None)
    if twice:
        raise Failure(f"{twice}: more than one source would be written to it; is something in {split} twice?")
    _note_outside(targets, args.out)
    clean(targets)
    count: Counter[str] = Counter()
    done = []
    with contextlib.closing(_results(split, jobs, args)) as results:
        for job, (status, problem) in zip(jobs, results, strict=True):
            count[status] += 1
            if problem:
                tqdm.write(f"error: {problem}", file=sys.stderr)
            else:
                done.append(job.name)
    statuses = ("written", "kept") if any(job.outputs for job in jobs) else ("good",)
    counts = ", ".join(f"{count[status]} {status}" for status in (*statuses, "failed"))
    print(f"{split}: {len(done)}{'' if expected is None else f' of {expected} expected'} ({counts})")
    if expected is not None and len(jobs) != expected:
        print(f"warning: {split}: found {len(jobs)}, but the whole split has {expected}; numbers will not compare")
    return Report(done, count["failed"])


def _note_outside(targets: Iterable[Path], out: Path) -> None:
    """Print a note where a link in the output folder leads what is written out of it."""
    base = out.resolve()
    for folder in sorted({path.parent for path in targets}):
        if not folder.resolve().is_relative_to(base):
            print(f"note: {folder} is a link: its files are written in {folder.resolve()}", file=sys.stderr)


def _results(title: str, jobs: Sequence[Job], args: Namespace) -> Generator[tuple[str, str], None, None]:
    progress = functools.partial(tqdm, total=len(jobs), desc=title, unit="file", disable=None)
    work = functools.partial(_work, force=args.force)
    if args.workers == 1 or len(jobs) < 2:
        yield from progress(map(work, jobs))
        return
    pool = ProcessPoolExecutor(min(args.workers, len(jobs)), initializer=_start_worker)
    try:
        yield from progress(pool.map(work, jobs, chunksize=4))
    except BrokenProcessPool:
        raise Failure(f"a worker process was killed (memory?); try fewer --workers and {AGAIN}") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and end with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None
    threading.Thread(target=lambda: (connection.wait([parent.sentinel]), os._exit(1)), daemon=True).start()


def _work(job: Job, force: bool) -> tuple[str, str]:
    """Run a job: (written, kept, good or failed; the error of the source)."""
    if job.outputs and not force and all(complete(path) for path in job.outputs):
        return "kept", ""
    try:
        contents = job.make(*job.inputs)
    except Bad as problem:
        return "failed", str(problem)
    except Exception as error:  # one strange file is no reason to stop
        return "failed", f"{job.inputs[0]}: cannot be converted ({type(error).__name__}: {error}); get it again"
    write(dict(zip(job.outputs, contents, strict=True)))
    return ("written" if job.outputs else "good"), ""
