"""Checkpoints of a training: what is in the files, which there are, and how they are kept.

A file is a dict with `state_dict` (the model), `meta` (iteration, config, seed, ...), `optimizer`, `param_schedulers`
and `message_hub`, as MMEngine writes it, less the histories of its log. It holds tensors and plain Python values alone,
so that torch.load reads it with weights_only=True, which runs nothing in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from torch import Tensor

from .. import atomic
from ..weights import WeightsError, reason

LAST = "last_checkpoint"  # a file with the name of the last one
_PLAIN = (Tensor, str, int, float, bool, type(None))


def read(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of the model in a checkpoint, by name, on the CPU, and its `meta`: `iter` and what else is known.

    Raises:
        WeightsError: there is no such file, it is damaged or cut short, or no checkpoint of train.py.
    """
    checkpoint = load(path)
    return checkpoint["state_dict"], checkpoint["meta"]


def load(path: Path | str) -> dict[str, Any]:
    """A whole checkpoint, on the CPU. Errors as in `read`."""
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"There is no checkpoint {path}.")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(f"The checkpoint {path} cannot be read ({reason(error)}).") from error
    if not isinstance(found, dict) or not isinstance(found.get("state_dict"), dict) or "meta" not in found:
        raise WeightsError(f"Expected {path} to be a checkpoint made by train.py, but it lacks `state_dict` or `meta`.")
    return found


def plain(value: Any) -> Any:
    """`value` of tensors, strings, numbers, lists, tuples and dicts alone; NumPy's are turned into those.

    Raises:
        TypeError: there is something else in it.
    """
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if type(value) in (list, tuple, set):
        return type(value)(plain(item) for item in value)
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, _PLAIN):
        return value
    raise TypeError(f"Expected plain values in a checkpoint, but got a {type(value).__name__}")


def simplify(checkpoint: dict[str, Any]) -> None:
    """Make what MMEngine is about to save plain: its log's histories, and what else of its log is not, go."""
    for key in ("meta", "param_schedulers"):
        if key in checkpoint:
            checkpoint[key] = plain(checkpoint[key])
    info = {}
    for key, value in checkpoint["message_hub"]["runtime_info"].items():
        with suppress(TypeError):
            info[key] = plain(value)
    checkpoint["message_hub"] = {"log_scalars": {}, "runtime_info": info, "resumed_keys": dict.fromkeys(info, True)}


def fit(model: torch.nn.Module, state: Mapping[str, Tensor], path: Path, whole: bool) -> list[str]:
    """Put tensors into a model, and return the names of its own that the file lacks or has in another shape.

    Args:
        whole: refuse a file that is not of this very model.

    Raises:
        ValueError: it is not, or nothing in it fits.
    """
    mine = model.state_dict()
    taken = {name: value for name, value in state.items() if name in mine and mine[name].shape == value.shape}
    left = [name for name in mine if name not in taken]
    wrong = left + [name for name in state if name not in mine]
    if not taken or (whole and wrong):
        raise ValueError(
            f"{path} does not fit this config: {len(wrong)} tensors are missing, unknown or of another shape, such as "
            f"{', '.join(wrong[:3])}. Use the config and the options it was made with."
        )
    model.load_state_dict(taken, strict=False)
    return left


def numbered(folder: Path) -> dict[int, Path]:
    """The checkpoints of a folder by iteration, in order."""
    found = {
        int(m[1]): file for file in folder.glob("iter_*.pth") if (m := re.fullmatch(r"iter_(\d+)\.pth", file.name))
    }
    return dict(sorted(found.items()))


def latest(folder: Path) -> Path | None:
    """The checkpoint that was saved last, or None."""
    with suppress(OSError):
        said = folder / Path((folder / LAST).read_text("utf-8").strip()).name
        if said.is_file():
            return said
    return next(reversed(numbered(folder).values()), None)


def before(path: Path) -> Path | None:
    """The checkpoint before another one of the same folder, or None."""
    files = list(numbered(path.parent).values())
    return files[files.index(path) - 1] if path in files[1:] else None


def remove(folder: Path) -> None:
    """Delete all checkpoints of a folder."""
    for file in (*numbered(folder).values(), folder / LAST):
        file.unlink(missing_ok=True)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's CheckpointHook that deletes an old checkpoint only when the new one is safe on the disk.

    train.py puts it in the place of the config's `CheckpointHook`. Counts iterations and keeps the newest 2, if not
    told otherwise. The Runner writes the files whole or not at all.

    Args:
        keep: iterations (or one) that are saved and never deleted, besides those of the interval.
    """

    def __init__(
        self, by_epoch: bool = False, max_keep_ckpts: int = 2, keep: int | Sequence[int] = (), **kwargs: Any
    ) -> None:
        if by_epoch:
            raise ValueError("Expected default_hooks.checkpoint.by_epoch to be False: train.py counts iterations")
        super().__init__(by_epoch=False, max_keep_ckpts=max_keep_ckpts, **kwargs)
        self.keep = {keep} if isinstance(keep, int) else set(keep)

    def every_n_train_iters(self, runner: Any, n: int, start: int = 0) -> bool:
        """Whether to save after this iteration."""
        return runner.iter + 1 in self.keep or super().every_n_train_iters(runner, n, start)

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict[str, Any]) -> None:
        name = self.filename_tmpl.format(step)
        self.last_ckpt = os.path.join(self.out_dir, name)  # noqa: PTH118  a str in MMEngine
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=False,
        )
        if is_main_process():
            folder = Path(self.out_dir)
            atomic.replace(folder / LAST, lambda temporary: temporary.write_text(name, encoding="utf-8"))
            if self.max_keep_ckpts > 0:
                files = numbered(folder).items()
                older = [file for iteration, file in files if iteration <= step and iteration not in self.keep]
                for file in older[: -self.max_keep_ckpts]:
                    file.unlink(missing_ok=True)
