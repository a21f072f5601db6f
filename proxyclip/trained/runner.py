"""MMEngine's Runner for training: files written whole or not at all, read safely, and only of the right model."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast, is_main_process
from mmengine.logging import MMLogger

from .. import atomic
from ..processes import first_process_first
from ..reporting import QuietRunner
from ..runtime import unwrap
from ..weights import WeightsError, read_state_dict
from . import checkpoints
from .guards import check_weights


class TrainRunner(QuietRunner):
    """Trains, saves and resumes; its console is quiet."""

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """The usual logger, without MMEngine's warnings of its own old names."""
        logger = super().build_logger(*args, **kwargs)
        logger.addFilter(_no_old_names)
        return logger

    def load_checkpoint(self, filename: str, *_: Any, **__: Any) -> dict[str, Any]:
        """Load a checkpoint into the model: to resume, one that fits wholly; to start from, whatever of it fits.

        Raises:
            WeightsError: it cannot be read; the message names the one before, where there is one.
            ValueError: it is of another model.
        """
        path = Path(filename)
        if self._resume:
            checkpoint = self._whole(path)
            self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
            checkpoints.fit(unwrap(self.model), checkpoint["state_dict"], path, whole=True)
        else:
            checkpoint = {"state_dict": read_state_dict(path)}
            self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
            left = checkpoints.fit(unwrap(self.model), checkpoint["state_dict"], path, whole=False)
            if left and is_main_process():
                print(f"--load-from {path} lacks {len(left)} tensors of the model, such as {', '.join(left[:3])}")
        model: Any = unwrap(self.model)
        if hasattr(model, "begin"):
            model.begin(path)
        self._has_loaded = True
        return checkpoint

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """Save, in process 0, whole or not at all.

        Raises:
            NonFiniteWeights: the model's are no numbers; nothing is written.
            OSError: no space, say; older checkpoints are as they were.
        """
        if not is_main_process():
            return
        check_weights(unwrap(self.model).state_dict())
        save = super().save_checkpoint

        def write(temporary: Path) -> None:
            save(str(temporary.parent), temporary.name, *args, **kwargs)

        atomic.replace(Path(out_dir) / filename, write)

    def _init_model_weights(self) -> None:
        """Let process 0 load, and perhaps download, what only training needs, then the others; make them equal."""
        model: Any = unwrap(self.model)
        if hasattr(model, "init_weights"):
            with first_process_first():
                model.init_weights()
            for tensor in model.state_dict().values():
                broadcast(tensor)

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """Call the hooks; after those that add to a checkpoint, it is made plain."""
        super().call_hook(fn_name, **kwargs)
        if fn_name == "before_save_checkpoint":
            checkpoints.simplify(kwargs["checkpoint"])

    def _whole(self, path: Path) -> dict[str, Any]:
        try:
            checkpoint = checkpoints.load(path)
        except WeightsError as error:
            other = checkpoints.before(path)
            hint = f" The one before it is {other}: go on from there with --resume --load-from {other}" if other else ""
            raise WeightsError(f"{error}{hint}") from error
        missing = {"optimizer", "param_schedulers", "message_hub"} - set(checkpoint)
        if missing:
            raise ValueError(
                f"{path} has weights only, and no {', '.join(sorted(missing))}: a training cannot go on from it. Start "
                "one from its weights with --load-from and without --resume."
            )
        if checkpoint["meta"].get("dataset_meta") == self.train_dataloader.dataset.metainfo:
            checkpoint["meta"]["dataset_meta"] = self.train_dataloader.dataset.metainfo  # MMEngine compares pickles
        return checkpoint


def _no_old_names(record: logging.LogRecord) -> bool:
    return not re.search('"(FileClient|HardDiskBackend)" ', record.getMessage())
