"""SIGTERM as an interrupt; nothing heavy is imported."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class TerminationSignal(KeyboardInterrupt):
    """SIGTERM received, from a user or a batch system."""


@contextmanager
def interrupt_on_sigterm(message: str = "terminated") -> Iterator[None]:
    """Turn SIGTERM into a TerminationSignal inside the block, so that what is finished is saved.

    Args:
        message: of the exception; without one the command prints its own.
    """

    def interrupt(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt the saving
        raise TerminationSignal(message)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
