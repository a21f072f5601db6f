"""Distributed set-up, rank ordering, threads, SIGTERM and timing."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from proxyclip.utils.system import count_cores

T = TypeVar("T")
LAUNCHERS = ("none", "pytorch", "slurm", "mpi")


def init_distributed(launcher: str, device: str = "auto") -> tuple[int, int]:
    """Join the process group, and return (rank, number of processes).

    The backend is gloo on a CPU, nccl on CUDA. Must run before mmengine's Runner is built: mmengine leaves an existing
    group alone, and its own way asks for CUDA even on a CPU. Rank and size are read from the variables of torchrun,
    Slurm or Open MPI.

    Raises:
        ValueError: an unknown launcher.
        RuntimeError: the variables of the launcher are missing, or there are more processes than GPUs.
    """
    if launcher not in LAUNCHERS:
        raise ValueError(f"Expected `launcher` to be one of {', '.join(LAUNCHERS)}, but got {launcher!r}")
    if launcher == "none":
        return 0, 1
    if not dist.is_initialized():
        _set_variables(launcher)
        cuda = device != "cpu" and torch.cuda.is_available()
        if cuda:
            local_rank = int(os.environ["LOCAL_RANK"])
            count = torch.cuda.device_count()
            if local_rank >= count:
                raise RuntimeError(
                    f"Process {local_rank + 1} of this machine finds {count} GPU(s): start as many processes as there "
                    "are GPUs, or run on the CPU with --device cpu."
                )
            torch.cuda.set_device(local_rank)
        dist.init_process_group("nccl" if cuda else "gloo")
    return dist.get_rank(), dist.get_world_size()


def close_distributed() -> None:
    """Leave the process group, if there is one."""
    if _is_distributed():
        dist.destroy_process_group()


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


@contextmanager
def rank_zero_first() -> Iterator[None]:
    """Run the block in process 0, which may fill a cache, then in all others."""
    rank = dist.get_rank() if _is_distributed() else None
    if rank is not None and rank != 0:
        dist.barrier()
    yield
    if rank == 0:
        dist.barrier()


def broadcast_from_rank_zero(make: Callable[[], T]) -> T:
    """Broadcast a value computed by process 0."""
    if not _is_distributed():
        return make()
    value: list[Any] = [make() if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(value)
    return value[0]


def set_threads(world_size: int) -> int:
    """Divide this machine's cores among its processes; return the threads of each.

    OMP_NUM_THREADS wins where a user set it; torchrun's own default of 1 does not count as set.
    """
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world_size))
    value = os.environ.get("OMP_NUM_THREADS", "")
    is_set = value.isdigit() and int(value) > 0 and (value != "1" or local == 1)
    threads = int(value) if is_set else max(1, count_cores() // max(1, local))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    torch.set_num_threads(threads)
    return threads


class Stopwatch:
    """Seconds of the parts of a run."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._parts: dict[str, float] = {}

    def stop(self, part: str) -> None:
        """Take the time of the part that ends now."""
        now = time.perf_counter()
        self._parts[part] = round(now - self._last, 3)
        self._last = now

    def all(self) -> dict[str, float]:
        """Return the seconds of each part, and their sum."""
        return {**self._parts, "total_s": round(time.perf_counter() - self._start, 3)}


def _set_variables(launcher: str) -> None:
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    launcher_names = {
        "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
        "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    }.get(launcher, names)
    missing = [name for name in launcher_names if name not in os.environ]
    if missing:
        start = {"pytorch": "dist_test.sh or torchrun", "slurm": "srun", "mpi": "mpirun"}[launcher]
        raise RuntimeError(f"--launcher {launcher} expects {', '.join(missing)} to be set: start it with {start}.")
    for name, launcher_name in zip(names, launcher_names, strict=True):
        os.environ[name] = os.environ[launcher_name]
    if launcher == "slurm" and "MASTER_ADDR" not in os.environ:
        os.environ["MASTER_ADDR"] = _first_slurm_host(os.environ.get("SLURM_NODELIST", ""))
    if launcher == "slurm" and "SLURM_NTASKS_PER_NODE" in os.environ:
        os.environ.setdefault("LOCAL_WORLD_SIZE", os.environ["SLURM_NTASKS_PER_NODE"].split("(")[0])
    if launcher == "mpi" and "OMPI_COMM_WORLD_LOCAL_SIZE" in os.environ:
        os.environ.setdefault("LOCAL_WORLD_SIZE", os.environ["OMPI_COMM_WORLD_LOCAL_SIZE"])
        if os.environ["OMPI_COMM_WORLD_LOCAL_SIZE"] != os.environ["WORLD_SIZE"] and "MASTER_ADDR" not in os.environ:
            raise RuntimeError("--launcher mpi on several machines expects MASTER_ADDR: the name of the first.")
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29500")


def _first_slurm_host(nodes: str) -> str:
    try:
        result = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(f"Cannot ask Slurm for the first of the nodes {nodes!r}: set MASTER_ADDR.") from error
    return result.stdout.split()[0]
