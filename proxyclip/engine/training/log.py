"""Log training progress to the console and losses to JSON lines."""

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook

from proxyclip.utils.io import replace_file

LOSS_LOG_FILE = "losses.jsonl"


class TrainingLogHook(Hook):
    """Print mean losses since the last line, learning rate, speed, time left and memory, in process 0 alone.

    `losses.jsonl` beside the checkpoints has a line an iteration: `iter` (counted from 1), `lr` of the first parameter
    group, and what the model returned, in full precision. A resumed training continues the file after its iteration.

    Args:
        interval: iterations from one printed line to the next.
    """

    priority = "BELOW_NORMAL"  # before the learning rate is that of the next iteration, and before a checkpoint

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self._since: list[dict[str, float]] = []
        self._clock = 0.0
        self._file: IO[str] | None = None

    @master_only
    def before_train(self, runner: Any) -> None:
        """Open the file, truncated at the iteration a resumed training begins with."""
        path = Path(runner.work_dir) / LOSS_LOG_FILE
        lines = path.read_text("utf-8").splitlines(keepends=True) if path.is_file() and runner.iter else []
        kept = [line for line in lines if _parse_iteration(line) <= runner.iter]
        replace_file(path, lambda temporary: temporary.write_text("".join(kept), encoding="utf-8"))
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._clock = time.perf_counter()

    @master_only
    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Record one iteration; print every `interval` iterations and after the last."""
        iteration = runner.iter + 1
        scalars = {name: torch.as_tensor(value).detach().item() for name, value in (outputs or {}).items()}
        self._since.append(scalars)
        rate = runner.optim_wrapper.get_lr()["lr"][0]
        assert self._file is not None
        self._file.write(json.dumps({"iter": iteration, "lr": rate, **scalars}) + "\n")
        if iteration % self.interval == 0 or iteration == runner.max_iters:
            self._print_line(runner, iteration, rate)

    @master_only
    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Print the metrics of a validation."""
        metrics_text = "  ".join(f"{name} {value:.2f}" for name, value in (metrics or {}).items())
        print(f"after iteration {runner.iter}: {metrics_text}", flush=True)
        self._clock = time.perf_counter()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _print_line(self, runner: Any, iteration: int, rate: float) -> None:
        now = time.perf_counter()
        last = self._since[-1]
        has_parts = sum("loss" in name for name in last) - ("loss" in last) != 1  # else the total is its only term
        speed = len(self._since) / max(now - self._clock, 1e-9)
        remaining = timedelta(seconds=round((runner.max_iters - iteration) / speed))
        losses = "  ".join(
            f"{name} {sum(scalars[name] for scalars in self._since) / len(self._since):.4f}"
            for name in last
            if name != "loss" or has_parts
        )
        memory = f"  {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB" if torch.cuda.is_available() else ""
        print(
            f"{iteration}/{runner.max_iters}  {losses}  lr {rate:.3g}  {speed:.2f} it/s  {remaining} left{memory}",
            flush=True,
        )
        self._since = []
        self._clock = now


def _parse_iteration(line: str) -> float:
    try:
        return json.loads(line)["iter"]
    except ValueError:  # cut off by a kill
        return float("inf")
