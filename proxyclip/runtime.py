"""Device, precision, threads and processes, and the wrapper that lets a frozen model run on several of them."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS, MODEL_WRAPPERS
from torch import nn

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
LAUNCHERS = ("none", "pytorch", "slurm", "mpi")


def pick_dtype(precision: str, device: torch.device | str) -> torch.dtype:
    """The number format for the backbones.

    `auto` is fp16 on CUDA, bf16 on a CPU that computes in it (AVX512-BF16, AMX or Arm's BF16), else fp32.

    Raises:
        ValueError: an unknown name, or fp16 on a CPU.
    """
    cuda = torch.device(device).type == "cuda"
    if precision == "auto":
        if cuda:
            return torch.float16
        return torch.bfloat16 if cpu_has_bf16() else torch.float32
    if precision not in PRECISIONS:
        raise ValueError(f"Expected `precision` to be one of auto, {', '.join(PRECISIONS)}, but got {precision!r}")
    if precision == "fp16" and not cuda:
        raise ValueError("precision='fp16' needs a CUDA device: a CPU has no fast fp16. Choose auto, bf16 or fp32.")
    return PRECISIONS[precision]


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware; False where it cannot be told."""
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        try:
            if getattr(torch.cpu, probe)():
                return True
        except (AttributeError, RuntimeError):
            continue
    try:
        words = set(Path("/proc/cpuinfo").read_text("utf-8", errors="ignore").split())
    except OSError:
        return False
    return not words.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


@MODEL_WRAPPERS.register_module()
class EvalOnly(nn.Module):
    """Holds a frozen model in a distributed evaluation: nothing to synchronise, so nothing is.

    DistributedDataParallel refuses a model without trainable parameters, and mmengine hands it `device_ids`, which a
    CPU has none of. Other options of a wrapper are accepted and have no effect here.
    """

    def __init__(self, module: nn.Module, **unused: Any) -> None:
        super().__init__()
        self.module = module

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)

    def _call(self, name: str, data):
        return getattr(self.module, name)(data)

    def forward(self, *args, **kwargs):
        """The model's own forward."""
        return self.module(*args, **kwargs)

    def test_step(self, data):
        """The model's own test_step."""
        return self._call("test_step", data)

    def val_step(self, data):
        """The model's own val_step."""
        return self._call("val_step", data)


@HOOKS.register_module()
class VocabularyCheckHook(Hook):
    """Refuses an evaluation whose vocabulary and dataset differ in their number of classes."""

    priority = "VERY_HIGH"

    def before_test(self, runner) -> None:
        """Compare both numbers.

        Raises:
            ValueError: they differ; the message has both numbers, the vocabulary's file and the dataset's class.
        """
        vocabulary = getattr(unwrap(runner.model), "vocabulary", None)
        dataset = runner.test_dataloader.dataset
        classes = getattr(dataset, "metainfo", {}).get("classes")
        if vocabulary is None or classes is None or len(vocabulary.classes) == len(classes):
            return
        file = runner.cfg.get("model", {}).get("name_path", "the model's name_path")
        raise ValueError(
            f"Expected one line of the vocabulary for each class of the dataset, but {file} has "
            f"{len(vocabulary.classes)} lines and {type(dataset).__name__} has {len(classes)} classes. "
            "Choose the vocabulary of this dataset with model.name_path."
        )


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside a wrapper, or the model itself."""
    inner = getattr(model, "module", None)
    return inner if is_model_wrapper(model) and isinstance(inner, nn.Module) else model


def init_distributed(launcher: str, device: str = "auto") -> tuple[int, int]:
    """Join the process group, and return (rank, number of processes): gloo on a CPU, nccl on CUDA.

    Must run before mmengine's Runner is built: mmengine leaves an existing group alone, and its own way asks for
    CUDA even on a CPU. The group is found through torchrun's variables, Slurm's, or Open MPI's.

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
            _take_gpu(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if cuda else "gloo")
    return dist.get_rank(), dist.get_world_size()


class Terminated(KeyboardInterrupt):
    """Somebody, or a batch system, asked this process to end."""


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Inside the block, SIGTERM ends the run as Ctrl-C does, so that what was counted is saved."""

    def end(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: it is on its way
        raise Terminated("terminated")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def close_distributed() -> None:
    """Leave the process group, if there is one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def first_process_first() -> Iterator[None]:
    """The block runs in process 0, then in all others: one downloads or computes a cache, the others find it."""
    grouped = dist.is_available() and dist.is_initialized()
    if grouped and dist.get_rank() != 0:
        dist.barrier()
    yield
    if grouped and dist.get_rank() == 0:
        dist.barrier()


def set_threads(world_size: int) -> int:
    """Share this machine's cores between its processes, and return the number of threads each gets.

    OMP_NUM_THREADS wins where a person set it; torchrun's own default of 1 does not count as set.
    """
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world_size))
    asked = os.environ.get("OMP_NUM_THREADS", "")
    by_hand = asked.isdigit() and int(asked) > 0 and (asked != "1" or local == 1)
    threads = int(asked) if by_hand else max(1, _cores() // max(1, local))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    torch.set_num_threads(threads)
    return threads


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_NAMES = {
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
}


def _set_variables(launcher: str) -> None:
    ours = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    theirs = _NAMES.get(launcher, ours)
    missing = [name for name in theirs if name not in os.environ]
    if missing:
        start = {"pytorch": "dist_test.sh or torchrun", "slurm": "srun", "mpi": "mpirun"}[launcher]
        raise RuntimeError(f"--launcher {launcher} expects {', '.join(missing)} to be set: start it with {start}.")
    for our, their in zip(ours, theirs, strict=True):
        os.environ[our] = os.environ[their]
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
        done = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(f"Cannot ask Slurm for the first of the nodes {nodes!r}: set MASTER_ADDR.") from error
    return done.stdout.split()[0]


def _take_gpu(local_rank: int) -> None:
    count = torch.cuda.device_count()
    if local_rank >= count:
        raise RuntimeError(
            f"Process {local_rank + 1} of this machine finds {count} GPU(s): start as many processes as there are "
            "GPUs, or run on the CPU with --device cpu."
        )
    torch.cuda.set_device(local_rank)
