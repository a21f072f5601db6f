"""Trained models with a text classifier, and the split of their training.

Both are in the checkpoint: the text features, so that an evaluation needs no text tower, and the seen classes, so that
an evaluation can refuse another split.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from proxyclip.data.vocabulary import Vocabulary
from proxyclip.models.clip.name_check import log_name_check
from proxyclip.models.trained.base import TrainedSegmentor
from proxyclip.utils.hashing import hash_value

NAME_DIGEST_BYTES = 16  # bytes of `words` that are of the names
UNKNOWN_SPLIT = -1  # value of `seen` before a training


class TextSegmentor(TrainedSegmentor):
    """A trained model with the text features of its names.

    Subclasses implement `clip`, whose text tower is used when a training begins and for names or templates other than
    those of the checkpoint: then the text features are computed anew.

    Args:
        width: dimension D of the image-text space.
    """

    def __init__(self, checkpoint: str | None, width: int, **options: Any) -> None:
        super().__init__(checkpoint, **options)
        self.register_buffer("text", torch.zeros(len(self.names), width))
        self.register_buffer("words", torch.zeros(32, dtype=torch.uint8))  # hashes of the names and templates of `text`

    def embed(self) -> None:
        """Compute the text features of the names over the templates."""
        device = self.text.device
        log_name_check(self.clip, [(name,) for name in self.names], self.templates, self.vocabulary.source)
        self.text = self.clip.embed(self.names, self.templates)
        self.words = hash_names_and_templates(self.names, self.templates).to(device)

    def on_weights_loaded(self, path: Path) -> None:
        """Compute stale text features anew."""
        super().on_weights_loaded(path)
        if self._is_other_text(self.words):
            self.embed()

    def load_trained_state(self, state: dict[str, Tensor], path: Path) -> None:
        """Load the tensors of a checkpoint, and compute stale text features anew."""
        digests = state.get("words")
        text = state.get("text")
        is_other_text = digests is not None and self._is_other_text(digests)
        if is_other_text and text is not None and text.shape[1] == self.text.shape[1]:
            state = state | {"text": self.text.new_zeros(len(self.names), text.shape[1])}
            self.text = state["text"]
        super().load_trained_state(state, path)
        if is_other_text and self.names:
            self.embed()

    def _is_other_text(self, digests: Tensor, length: int | None = None) -> bool:
        """Compare the first `length` bytes of `words` with the model's texts."""
        return not torch.equal(digests[:length].cpu(), hash_names_and_templates(self.names, self.templates)[:length])


class SplitSegmentor(TextSegmentor):
    """A model with a text classifier, and the classes of its training labels.

    With other names than those of the training, it is unknown which classes are seen.

    Args:
        all_seen: train with labels of all classes, also of those that the data set calls unseen.
    """

    seen: Tensor  # (names,) int8: 1, 0 or UNKNOWN_SPLIT

    def __init__(self, checkpoint: str | None, width: int, all_seen: bool, **options: Any) -> None:
        super().__init__(checkpoint, width, **options)
        self.all_seen = all_seen
        self.register_buffer("seen", torch.full((len(self.names),), UNKNOWN_SPLIT, dtype=torch.int8))

    def ids(self, seen: bool) -> list[int]:
        """List the seen or the unseen classes."""
        return (self.seen == int(seen)).nonzero().flatten().tolist()

    def split(self, unseen: Sequence[int] | None) -> None:
        """Set the unseen classes (ids) before a training; with `all_seen` there are none.

        Raises:
            ValueError: no class is unseen, or the weights that the training starts from have seen some of them.
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
                f"The training starts from weights that were trained with labels of {self._join_names(leaked)}, which "
                "are unseen in its data: start from a checkpoint of the same split"
            )
        self.seen.fill_(1)
        self.seen[list(unseen)] = 0

    def check_eval_split(self, unseen: Sequence[int] | None) -> None:
        """Refuse to evaluate seen classes of the training as unseen.

        Raises:
            ValueError: there are such classes; names them.
        """
        leaked = set(unseen or ()) & set(self.ids(seen=True))
        if leaked and not self.all_seen:
            raise ValueError(
                f"The data set says that {self._join_names(sorted(leaked))} are unseen, but this model was trained "
                "with their labels: evaluate it with the split of its training"
            )

    def on_weights_loaded(self, path: Path) -> None:
        """Reset the split of weights with other names, then update the text features."""
        if self._is_other_text(self.words, NAME_DIGEST_BYTES):
            self.seen.fill_(UNKNOWN_SPLIT)
        super().on_weights_loaded(path)

    def load_trained_state(self, state: dict[str, Tensor], path: Path) -> None:
        """Load the tensors of a checkpoint, without its split if the names are other ones."""
        if "words" in state and self._is_other_text(state["words"], NAME_DIGEST_BYTES):
            state = state | {"seen": torch.full_like(self.seen, UNKNOWN_SPLIT)}
        super().load_trained_state(state, path)

    def set_vocabulary(self, vocabulary: Vocabulary, text: Tensor | None = None) -> None:
        """Replace the classes; none of the new ones counts as seen."""
        super().set_vocabulary(vocabulary, text)
        self.seen = self.seen.new_full((len(vocabulary.names),), UNKNOWN_SPLIT)

    def _join_names(self, ids: Sequence[int]) -> str:
        return ", ".join(self.names[i] for i in ids)


def hash_names_and_templates(names: Sequence[str], templates: Sequence[str]) -> Tensor:
    """Hash class names and templates, (32,) uint8: 16 bytes each."""
    digests = (bytes.fromhex(hash_value(list(texts)))[:NAME_DIGEST_BYTES] for texts in (names, templates))
    return torch.tensor(list(b"".join(digests)), dtype=torch.uint8)
