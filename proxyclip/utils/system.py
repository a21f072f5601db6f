"""Processor, memory, child processes and environment of this process."""

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil


def count_cores() -> int:
    """Count the cores that this process may use."""
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):  # macOS has none
        return len(process.cpu_affinity())
    return psutil.cpu_count() or 1


def read_free_memory() -> int:
    """Return the bytes of main memory that programs could still take."""
    return psutil.virtual_memory().available


def kill_process_tree(pid: int) -> None:
    """Kill a process and all below it; those that have ended already are left out."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for member in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                member.kill()


def read_cpu_name() -> str:
    """Return the name of the processor, from /proc/cpuinfo where there is one."""
    lines = _read_cpuinfo().splitlines()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def has_cpu_flag(*flags: str) -> bool:
    """Return True if /proc/cpuinfo, where there is one, has one of the flags."""
    return not set(_read_cpuinfo().split()).isdisjoint(flags)


def _read_cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text("utf-8", errors="ignore")
    except OSError:
        return ""


@contextmanager
def temporary_environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables inside the block; None leaves one as it is."""
    changes = {name: value for name, value in values.items() if value is not None}
    previous = {name: os.environ[name] for name in changes if name in os.environ}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name in changes:
            os.environ.pop(name, None)
        os.environ.update(previous)


@contextmanager
def hidden_proxies() -> Iterator[None]:
    """Hide the proxies of the environment inside the block, which talks to this machine only."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.lower().endswith("_proxy")}
    try:
        yield
    finally:
        os.environ.update(hidden)
