"""Training checkpoints: file format and retention.

A file is a dict with `state_dict` (the model), `meta` (iteration, config, seed, ...), `optimizer`, `param_schedulers`
and `message_hub`, as MMEngine writes it, less the histories of its log. It holds tensors and plain Python values alone,
so that nothing in it is run when it is read (`state_dict.load_checkpoint_file`), and has its hash beside it.
"""

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from torch import Tensor

from proxyclip.engine.training.settings import SETTINGS_KEY, collect_training_settings
from proxyclip.models.trained.state_dict import checkpoint_hash_path, verify_checkpoint
from proxyclip.models.weights import WeightsError
from proxyclip.utils.file_limits import read_limited_text
from proxyclip.utils.io import replace_file

LAST_CHECKPOINT_FILE = "last_checkpoint"  # a file with the name of the newest checkpoint
_CHECKPOINT_NAME = re.compile(r"iter_(\d+)\.pth", re.ASCII)
_MAX_NAME_BYTES = 10_000
_PLAIN = (Tensor, str, int, float, bool, type(None))


def to_plain_values(value: Any) -> Any:
    """Convert NumPy values to tensors and numbers, and check that the rest is plain.

    Returns:
        `value` of tensors, strings, numbers, lists, tuples and dicts alone.

    Raises:
        TypeError: it has a value of another type.
    """
    if isinstance(value, Mapping):
        return {key: to_plain_values(item) for key, item in value.items()}
    if type(value) in (list, tuple, set):
        return type(value)(to_plain_values(item) for item in value)
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, _PLAIN):
        return value
    raise TypeError(f"Expected plain values in a checkpoint, but got a {type(value).__name__}")


def make_checkpoint_plain(checkpoint: dict[str, Any]) -> None:
    """Convert a checkpoint to plain values in place, before MMEngine saves it.

    The histories of its log, and entries of the log that are not plain, are dropped.
    """
    for key in ("meta", "param_schedulers"):
        if key in checkpoint:
            checkpoint[key] = to_plain_values(checkpoint[key])
    info = {}
    for key, value in checkpoint["message_hub"]["runtime_info"].items():
        with suppress(TypeError):
            info[key] = to_plain_values(value)
    checkpoint["message_hub"] = {"log_scalars": {}, "runtime_info": info, "resumed_keys": dict.fromkeys(info, True)}


def list_checkpoints(folder: Path) -> dict[int, Path]:
    """List the checkpoints of a folder by iteration, in order."""
    matches = (_CHECKPOINT_NAME.fullmatch(file.name) for file in folder.glob("iter_*.pth"))
    return dict(sorted((int(match[1]), folder / match[0]) for match in matches if match))


def find_latest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint that was saved last, or None; it is not read.

    Unlike MMEngine's `find_latest_checkpoint` it survives a moved folder and a deleted file.
    """
    with suppress(OSError, ValueError):  # of a damaged file, whatever text it may be
        text = read_limited_text(folder / LAST_CHECKPOINT_FILE, _MAX_NAME_BYTES, "the name of a checkpoint")
        path = folder / Path(text.strip()).name
        if path.suffix == ".pth" and path.is_file():
            return path
    return next(reversed(list_checkpoints(folder).values()), None)


class WholeCheckpoint(NamedTuple):
    """Newest checkpoint that was read and is whole.

    Attributes:
        path: None without one.
        has_hash: False if it was judged by what is in it.
        damaged: newer ones, with the reason.
    """

    path: Path | None
    has_hash: bool
    damaged: dict[Path, str]


def find_whole_checkpoint(folder: Path) -> WholeCheckpoint:
    """Find the newest checkpoint that is whole: each is read until one is."""
    last = find_latest_checkpoint(folder)
    older = [path for path in reversed(list_checkpoints(folder).values()) if path != last]
    if last is not None and (match := _CHECKPOINT_NAME.fullmatch(last.name)):
        newest = int(match[1])
        older.sort(
            key=lambda path: (int(path.stem[5:]) > newest, -int(path.stem[5:]))
        )  # a leftover of others comes last
    damaged: dict[Path, str] = {}
    for path in (last, *older) if last is not None else ():
        try:
            return WholeCheckpoint(path, verify_checkpoint(path), damaged)
        except WeightsError as error:
            damaged[path] = str(error)
    return WholeCheckpoint(None, False, damaged)


def find_previous_checkpoint(path: Path) -> Path | None:
    """Return the newest whole checkpoint before another one of the same folder, or None."""
    files = list(list_checkpoints(path.parent).values())
    for previous in reversed(files[: files.index(path)] if path in files else []):
        with suppress(WeightsError):
            verify_checkpoint(previous)
            return previous
    return None


def remove_checkpoints(folder: Path) -> None:
    """Delete all checkpoints of a folder, with their hashes."""
    for file in (*list_checkpoints(folder).values(), folder / LAST_CHECKPOINT_FILE):
        remove_checkpoint(file)


def remove_checkpoint(path: Path) -> None:
    """Delete a checkpoint and its hash, if they are there."""
    path.unlink(missing_ok=True)
    checkpoint_hash_path(path).unlink(missing_ok=True)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """CheckpointHook that deletes an old file after the new one is safely written.

    train.py puts it in the place of the config's `CheckpointHook`. It counts iterations and keeps the newest 2 by
    default. The Runner writes files whole or not at all.

    Args:
        keep: iterations (or one) that are saved and never deleted, besides those of the interval.
    """

    def __init__(
        self, by_epoch: bool = False, max_keep_ckpts: int = 2, keep: int | Sequence[int] = (), **kwargs: Any
    ) -> None:
        if by_epoch:
            raise ValueError("Expected default_hooks.checkpoint.by_epoch to be False: train.py counts iterations")
        super().__init__(by_epoch=False, max_keep_ckpts=max_keep_ckpts, **kwargs)
        self._saved: Path | None = None  # by this training
        self._settings: dict[str, str] = {}
        self.keep = {keep} if isinstance(keep, int) else set(keep)

    def before_train(self, runner: Any) -> None:
        """Collect the settings, and the code, that the training begins with."""
        super().before_train(runner)
        self._settings = collect_training_settings(runner.cfg)

    def every_n_train_iters(self, runner: Any, n: int, start: int = 0) -> bool:
        """Decide whether to save after this iteration."""
        return runner.iter + 1 in self.keep or super().every_n_train_iters(runner, n, start)

    def save_between_iterations(self, runner: Any) -> Path:
        """Save the iteration that has just ended, unless it is saved; return the path."""
        path = Path(self.out_dir, self.filename_tmpl.format(runner.iter))
        if self._saved != path:
            self._save_checkpoint_with_step(runner, runner.iter, meta=dict(epoch=runner.epoch, iter=runner.iter))
        return path

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict[str, Any]) -> None:
        name = self.filename_tmpl.format(step)
        self.last_ckpt = os.path.join(self.out_dir, name)  # noqa: PTH118  a str in MMEngine
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        parts = dict(save_optimizer=self.save_optimizer, save_param_scheduler=self.save_param_scheduler)
        meta = {**meta, SETTINGS_KEY: self._settings}
        runner.save_checkpoint(self.out_dir, name, **parts, meta=meta, by_epoch=False)
        self._saved = Path(self.last_ckpt)
        if is_main_process():
            folder = Path(self.out_dir)
            replace_file(folder / LAST_CHECKPOINT_FILE, lambda temporary: temporary.write_text(name, encoding="utf-8"))
            if self.max_keep_ckpts > 0:
                files = list_checkpoints(folder).items()
                older = [file for iteration, file in files if iteration <= step and iteration not in self.keep]
                for file in older[: -self.max_keep_ckpts]:
                    remove_checkpoint(file)
