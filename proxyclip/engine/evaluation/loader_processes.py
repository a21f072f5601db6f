"""Processes that load samples: they outlive the signals that stop the process they load for."""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any


class LoaderProcessSetup:
    """`worker_init_fn` of a loader whose processes outlive the first signal.

    A terminal or a launcher sends it to the whole group of processes.

    Args:
        inner: the loader's own function, or None.
    """

    def __init__(self, inner: Callable[[int], Any] | None) -> None:
        self.inner = inner

    def __call__(self, worker_id: int) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends them
        if hasattr(signal, "sigwaitinfo"):  # on Linux
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            threading.Thread(target=_exit_on_sigterm_of_parent, daemon=True).start()
        if self.inner is not None:
            self.inner(worker_id)


def _exit_on_sigterm_of_parent() -> None:
    """Wait for the SIGTERM of the main process, which ends its loader, and exit; others are not meant."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)  # a death by the signal would be an error of the loader in the main process
