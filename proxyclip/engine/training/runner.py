"""MMEngine's Runner for training: atomic writes, safe reads, model checks."""

import re
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast, is_main_process
from mmengine.logging import MMLogger

from proxyclip.engine.evaluation.loader import use_pipes
from proxyclip.engine.evaluation.runner import QuietRunner
from proxyclip.engine.training.checkpoint import find_previous_checkpoint, make_checkpoint_plain
from proxyclip.engine.training.settings import explain_changed_settings
from proxyclip.engine.wrappers import unwrap_model
from proxyclip.models.trained.nonfinite import check_finite_weights
from proxyclip.models.trained.state_dict import (
    check_checkpoint_hash,
    checkpoint_hash_path,
    load_checkpoint_file,
    load_matching_tensors,
    save_checkpoint_hash,
)
from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.reading import read_state_dict
from proxyclip.utils.distributed import rank_zero_first
from proxyclip.utils.hashing import read_file_hash
from proxyclip.utils.io import replace_file


class TrainRunner(QuietRunner):
    """Train, save and resume without MMEngine's console output."""

    @staticmethod
    def build_dataloader(*args: Any, **kwargs: Any) -> Any:
        """Build MMEngine's loader; its processes hand over batches through pipes."""
        return use_pipes(QuietRunner.build_dataloader(*args, **kwargs))

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build MMEngine's logger without the warnings of its own deprecated names."""
        logger = super().build_logger(*args, **kwargs)
        logger.addFilter(lambda record: not re.search('"(FileClient|HardDiskBackend)" ', record.getMessage()))
        return logger

    def load_checkpoint(self, filename: str, *_: Any, **__: Any) -> dict[str, Any]:
        """Load a checkpoint into the model to resume it, wholly, or to start from it, as far as it fits.

        Raises:
            WeightsError: it cannot be read; the message names the one before, where there is one.
            ValueError: it is of another model.
        """
        path = Path(filename)
        model: Any = unwrap_model(self.model)
        if not self._resume:
            check_checkpoint_hash(path)
        checkpoint: Any = self._read_resumable(path) if self._resume else {"state_dict": read_state_dict(path)}
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        missing = load_matching_tensors(model, checkpoint["state_dict"], path, whole=self._resume)
        if missing and is_main_process():
            print(f"--load-from {path} lacks {len(missing)} tensors of the model, such as {', '.join(missing[:3])}")
        if hasattr(model, "on_weights_loaded"):
            model.on_weights_loaded(path)
        self._has_loaded = True
        return checkpoint

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """Save atomically, in process 0, with the hash of the file beside it.

        Raises:
            NonFiniteError: weights of the model are not finite; nothing is written.
            OSError: for example a full disk; older checkpoints are as they were.
        """
        if not is_main_process():
            return
        check_finite_weights(unwrap_model(self.model).state_dict())
        save = super().save_checkpoint
        target = Path(out_dir) / filename
        digests: list[str] = []

        def write(temporary: Path) -> None:
            save(str(temporary.parent), temporary.name, *args, **kwargs)
            digests.append(read_file_hash(temporary))
            checkpoint_hash_path(target).unlink(missing_ok=True)  # that of an older file of this name

        replace_file(target, write)
        save_checkpoint_hash(target, digests[0])

    def _init_model_weights(self) -> None:
        """Load what only training needs, process 0 first; broadcast its weights."""
        model: Any = unwrap_model(self.model)
        if hasattr(model, "init_weights"):
            with rank_zero_first():
                model.init_weights()
            for tensor in model.state_dict().values():
                broadcast(tensor)

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """Call the hooks; make a checkpoint plain after the hooks that add to it."""
        super().call_hook(fn_name, **kwargs)
        if fn_name == "before_save_checkpoint":
            make_checkpoint_plain(kwargs["checkpoint"])

    def _read_resumable(self, path: Path) -> dict[str, Any]:
        try:
            checkpoint = load_checkpoint_file(path)
        except WeightsError as error:
            previous = find_previous_checkpoint(path)
            if previous is None:
                raise
            hint = f"The one before it is {previous}: go on from there with --resume --load-from {previous}"
            raise WeightsError(f"{error} {hint}") from error
        missing = {"optimizer", "param_schedulers", "message_hub"} - set(checkpoint)
        if missing:
            raise ValueError(
                f"{path} has weights only, and no {', '.join(sorted(missing))}: a training cannot go on from it. Start "
                "one from its weights with --load-from and without --resume."
            )
        note = explain_changed_settings(checkpoint["meta"], self.cfg)
        if note is not None and is_main_process():
            print(note, flush=True)
        if checkpoint["meta"].get("dataset_meta") == self.train_dataloader.dataset.metainfo:
            checkpoint["meta"]["dataset_meta"] = self.train_dataloader.dataset.metainfo  # MMEngine compares pickles
        return checkpoint
