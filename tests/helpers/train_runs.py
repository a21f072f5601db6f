"""Trainings in child processes, and their files."""

import json
import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import torch


def fork(target: Callable[..., None], *args) -> multiprocessing.Process:
    """Start a process that has everything imported already."""
    process = multiprocessing.get_context("fork").Process(target=target, args=args)
    process.start()
    return process


def run_two_processes(run: Callable[[], int]) -> None:
    """Call `run`, a training with --launcher pytorch, in two processes, which must both return 0."""
    processes = start_two_processes(run)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]


def start_two_processes(run: Callable[[], int]) -> list[multiprocessing.Process]:
    """Call `run`, a training with --launcher pytorch, in two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def run_rank(rank: str) -> None:
        os.environ |= {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        torch.set_num_threads(1)
        sys.exit(run())

    return [fork(run_rank, rank) for rank in "01"]


def read_losses(folder: Path) -> list[dict]:
    """Lines of the log of losses in a folder of checkpoints."""
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]
