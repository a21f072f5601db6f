"""Which classes a training does not see: from the data set to the model, into its checkpoint, checked before a test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import Tensor

from ..runtime import unwrap
from ..vocabulary import Vocabulary
from .text import NAMES, TextSegmentor, digest

NOT_SAID = -1  # of `seen`, before a training


class SplitSegmentor(TextSegmentor):
    """A model with text features as its classifier, whose checkpoint says which classes it was trained with labels of.

    Args:
        all_seen: whether it is trained with labels of all classes, whatever the data set says.
    """

    seen: Tensor  # (names,) int8: 1, 0 or NOT_SAID

    def __init__(self, checkpoint: str | None, width: int, all_seen: bool, **options: Any) -> None:
        super().__init__(checkpoint, width, **options)
        self.all_seen = all_seen
        self.register_buffer("seen", torch.full((len(self.names),), NOT_SAID, dtype=torch.int8))

    def ids(self, seen: bool) -> list[int]:
        """The seen or the unseen classes."""
        return (self.seen == int(seen)).nonzero().flatten().tolist()

    def split(self, unseen: Sequence[int] | None) -> None:
        """Say which classes are unseen (ids), before a training; with `all_seen` none is.

        Raises:
            ValueError: nobody says so, or the weights that the training starts from have seen some of them.
        """
        if self.all_seen:
            self.seen.fill_(1)
            return
        if not unseen:
            raise ValueError(
                f"{type(self).__name__} needs a data set that says which classes are unseen in its training: "
                "zero_shot=True, or metainfo=dict(unseen=[...])"
            )
        leaked = sorted(set(unseen) & set(self.ids(seen=True)))
        if leaked:
            raise ValueError(
                f"The training starts from weights that were trained with labels of {self._named(leaked)}, which are "
                "unseen in its data: start from a checkpoint of the same split"
            )
        self.seen.fill_(1)
        self.seen[list(unseen)] = 0

    def check_split(self, unseen: Sequence[int] | None) -> None:
        """Refuse to evaluate classes as unseen whose labels the training had."""
        leaked = set(unseen or ()) & set(self.ids(seen=True))
        if leaked and not self.all_seen:
            raise ValueError(
                f"The data set says that {self._named(sorted(leaked))} are unseen, but this model was trained with "
                "their labels: evaluate it with the split of its training"
            )

    def begin(self, path: Path) -> None:
        """As in `TextSegmentor`; weights that know other names say nothing of which of these are seen."""
        if self._other_names(self.words):
            self.seen.fill_(NOT_SAID)
        super().begin(path)

    def take(self, state: dict[str, Tensor], path: Path) -> None:
        """As in `TextSegmentor`; with other names than those of the training, none counts as seen."""
        if "words" in state and self._other_names(state["words"]):
            state = state | {"seen": torch.full_like(self.seen, NOT_SAID)}
        super().take(state, path)

    def set_vocabulary(self, words: Vocabulary, text: Tensor | None = None) -> None:
        """As in `WholeImageSegmentor`; none of the words counts as seen."""
        super().set_vocabulary(words, text)
        self.seen = self.seen.new_full((len(words.names),), NOT_SAID)

    def _other_names(self, words: Tensor) -> bool:
        return not torch.equal(words[:NAMES].cpu(), digest(self.names, self.templates)[:NAMES])

    def _named(self, ids: Sequence[int]) -> str:
        return ", ".join(self.names[i] for i in ids)


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
