"""Progress of an evaluation: bar in a terminal, lines in a log, JSON in a file."""

import contextlib
import json
import os
import sys
import time
from pathlib import Path

from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from tqdm import tqdm

from proxyclip.utils.io import replace_file


class ProgressHook(Hook):
    """Show and measure the progress of a test run, by a bar or by lines.

    A file that the environment variable PROXYCLIP_PROGRESS names holds the present state as JSON: `done`, `total` and
    `images_per_second`.
    """

    priority = "VERY_LOW"

    def __init__(self) -> None:
        self.seconds = 0.0  # of this run, without an interrupted one before it
        self.images = 0
        self._bar: tqdm | None = None
        self._start = 0.0
        self._last_line = 0.0
        self._last_state = 0.0
        self._file = os.environ.get("PROXYCLIP_PROGRESS")

    def before_test_epoch(self, runner) -> None:
        """Start the clock."""
        loop = runner.test_loop
        self._total = len(loop.dataloader.dataset)
        self._before = getattr(loop, "resumed_images", 0)
        self._step = (loop.dataloader.batch_size or 1) * get_world_size()
        self._start = time.perf_counter()
        self._last_line = self._start
        if not is_main_process():
            return
        if self._before:
            print(f"going on after {self._before} of {self._total} images (--fresh starts anew)", flush=True)
        if sys.stderr.isatty():
            self._bar = tqdm(total=self._total, initial=self._before, unit="image", dynamic_ncols=True)

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Show the images done so far by all processes together."""
        self.seconds = time.perf_counter() - self._start
        self.images = min(self._total - self._before, (batch_idx + 1) * self._step)
        if not is_main_process():
            return
        done = self._before + self.images
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
        elif self._is_line_due(done):
            rate = self.images / self.seconds
            print(f"{done}/{self._total} images, {rate:.2f} images/s", file=sys.stderr, flush=True)
        if self._file is not None and (done == self._total or self.seconds - self._last_state >= 1):
            self._last_state = self.seconds
            state = dict(done=done, total=self._total, images_per_second=self.images / self.seconds)
            with contextlib.suppress(OSError):
                replace_file(Path(self._file), lambda path: path.write_text(json.dumps(state), encoding="utf-8"))

    def after_test_epoch(self, runner, metrics=None) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()

    def _is_line_due(self, done: int) -> bool:
        now = time.perf_counter()
        part = max(1, self._total // 10)  # of a run without a terminal
        if done // part == (done - self._step) // part and now - self._last_line < 60:
            return False
        if now - self._last_line < 5 and done < self._total:
            return False
        self._last_line = now
        return True
