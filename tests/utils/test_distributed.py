"""Launchers, threads, signals and the stopwatch."""

import os
import signal

import pytest
import torch

from proxyclip.utils import distributed
from proxyclip.utils.distributed import init_distributed, set_threads
from proxyclip.utils.termination import TerminationSignal, interrupt_on_sigterm


def test_init_distributed_without_a_launcher_and_with_wrong_ones(monkeypatch):
    assert init_distributed("none") == (0, 1) and distributed.broadcast_from_rank_zero(lambda: 3) == 3
    distributed.close_distributed()
    with pytest.raises(ValueError, match="one of none, pytorch, slurm, mpi, but got 'ray'"):
        init_distributed("ray")
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK"):
        monkeypatch.delenv(name, raising=False)
    for launcher, start in (("pytorch", "torchrun"), ("slurm", "srun"), ("mpi", "mpirun")):
        with pytest.raises(RuntimeError, match=start):
            init_distributed(launcher)


def test_variables_of_mpi_become_those_of_torch(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "")  # restored after the test
        monkeypatch.delenv(name)
    for name, value in dict(RANK="3", SIZE="4", LOCAL_RANK="1", LOCAL_SIZE="2").items():
        monkeypatch.setenv(f"OMPI_COMM_WORLD_{name}", value)
    with pytest.raises(RuntimeError, match="MASTER_ADDR"):
        distributed._set_variables("mpi")
    monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "4")
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    distributed._set_variables("mpi")
    assert [os.environ[n] for n in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")] == ["3", "4", "1", "4"]
    assert os.environ["MASTER_ADDR"] == "127.0.0.1"


def test_set_threads_shares_the_cores(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr("proxyclip.utils.distributed.count_cores", lambda: 8)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    try:
        assert set_threads(2) == 4
        monkeypatch.setenv("OMP_NUM_THREADS", "1")  # torchrun's default
        assert set_threads(2) == 4
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        assert set_threads(2) == 3
        monkeypatch.delenv("OMP_NUM_THREADS")
        monkeypatch.setenv("LOCAL_WORLD_SIZE", "16")
        assert set_threads(32) == 1
    finally:
        torch.set_num_threads(before)


def test_sigterm_interrupts_inside_the_block_only():
    outside = signal.getsignal(signal.SIGTERM)
    with pytest.raises(TerminationSignal), interrupt_on_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()  # not reached: the signal has come
    assert signal.getsignal(signal.SIGTERM) is outside


def test_stopwatch_adds_up():
    clock = distributed.Stopwatch()
    clock.stop("a")
    clock.stop("b")
    times = clock.all()
    assert list(times) == ["a", "b", "total_s"] and times["total_s"] >= times["a"] + times["b"] - 0.002
