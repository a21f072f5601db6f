"""Ctrl-C and SIGTERM during a training: the iteration is finished before it stops."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
import torch.distributed as dist

from proxyclip.utils.termination import TerminationSignal

_INSISTENCE_SECONDS = 1.0  # a signal sooner after the first is the same one, sent by a terminal and by a launcher
_GROUP_SECONDS = 0.5  # in which a signal to a group of processes has come to all of them
_MESSAGE = b"stopping after this iteration, whose checkpoint is saved%s\n"
_HINT = b" (Ctrl-C again: stop at once, without it)"


class StopSignals:
    """Signals that stop a training, as KeyboardInterrupt: at once, or after `kept`.

    With several processes all of them agree, in `raise_kept`, on the iteration after which they stop, whichever of them
    had the signal. A second Ctrl-C stops at once in a single process; never while a checkpoint is saved.
    """

    def __init__(self) -> None:
        self.world = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        self._rank = dist.get_rank() if self.world > 1 else 0
        self._process = os.getpid()
        self._number: int | None = None  # of the first signal
        self._time = 0.0
        self._keeps = False
        self._saves = False
        self._handlers: dict[int, Any] = {}
        # on a GPU the question whether to stop must not wait for it
        self._group: Any = dist.new_group(backend="gloo") if self.world > 1 and dist.get_backend() != "gloo" else None

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():  # no other one can take signals
            numbers = (signal.SIGINT, signal.SIGTERM)
            self._handlers = {number: signal.signal(number, self._handle) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    @contextmanager
    def kept(self, keeps: bool = True) -> Iterator[None]:
        """Keep signals inside the block, for `raise_kept`; with False raise them."""
        before, self._keeps = self._keeps, keeps
        try:
            yield
        finally:
            self._keeps = before

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Ignore signals inside the block."""
        self._saves = True
        try:
            yield
        finally:
            self._saves = False

    def raise_kept(self) -> None:
        """Raise the signal that any process has kept; each process calls this."""
        number = self._number or 0
        if self.world > 1:
            numbers = torch.tensor([number])
            dist.all_reduce(numbers, dist.ReduceOp.MAX, group=self._group)
            number = int(numbers)
        if number:
            self._number = number
            raise make_interruption(number)

    def find_stop(self) -> int | None:
        """Return the signal that came, or that comes within a moment; None without one.

        A process that loads may die of a signal to all before this one has it.
        """
        limit = time.monotonic() + _GROUP_SECONDS
        while self._number is None and time.monotonic() < limit:
            time.sleep(0.01)
        return self._number

    def _handle(self, number: int, _: object) -> None:
        if os.getpid() != self._process:  # a process that was forked; a second one ends it
            signal.signal(number, signal.SIG_DFL)
            return
        is_first = self._number is None
        is_soon = time.monotonic() - self._time < _INSISTENCE_SECONDS
        if self._saves or (not is_first and (self.world > 1 or number == signal.SIGTERM or is_soon)):
            return
        if is_first:
            self._number, self._time = number, time.monotonic()
            if self._keeps:
                if self._rank == 0:
                    with suppress(OSError):  # print is not safe in a handler
                        os.write(2, _MESSAGE % (_HINT if self.world == 1 else b""))
                return
        raise make_interruption(number)


def make_interruption(number: int) -> KeyboardInterrupt:
    """Make the exception of a signal, as the evaluation raises it."""
    return TerminationSignal("terminated") if number == signal.SIGTERM else KeyboardInterrupt("interrupted")
