"""Which classes a training does not see: from the data set to the model, and checked before an evaluation."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from ...runtime import unwrap


@HOOKS.register_module()
class SplitHook(Hook):
    """Tells the model of a training which classes are unseen, by `model.split(ids)`, from its data set's metainfo.

    Before an evaluation, `model.check_split(ids)` may refuse that of another split.
    """

    def before_train(self, runner: Any) -> None:
        """After weights are loaded, before the first iteration."""
        model: Any = unwrap(runner.model)
        model.split(_unseen(runner.train_dataloader))

    def before_test(self, runner: Any) -> None:
        """After the checkpoint is loaded."""
        model: Any = unwrap(runner.model)
        model.check_split(_unseen(runner.test_dataloader))


def _unseen(loader: Any) -> Any:
    return loader.dataset.metainfo.get("unseen")
