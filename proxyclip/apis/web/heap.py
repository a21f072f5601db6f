"""Heap of a server: memory that many threads have freed goes back to the system."""

import contextlib
import ctypes

_M_ARENA_MAX = -8  # of glibc's malloc.h
MAX_ARENAS = 1


def limit_arenas() -> None:
    """Let all threads of this process share one heap, from here on; nothing where the C library is not glibc.

    By default each thread gets one of its own, and what one has freed, another does not use: gradio's threads take
    turns, and each would keep the most that it ever needed.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, MAX_ARENAS)


def trim_heap() -> None:
    """Give freed memory back to the system; nothing where the C library is not glibc."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
