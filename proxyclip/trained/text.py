"""Trained models whose classifier is text features, which their checkpoints hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .model import TrainedSegmentor

NAMES = 16  # bytes of `words` that are of the names


class TextSegmentor(TrainedSegmentor):
    """A trained model with the text features of its names, so that an evaluation needs no text tower for them.

    Subclasses give `clip`, whose text tower is asked when a training begins and for names other than its own.

    Args:
        width: dimension D of the image-text space.
    """

    def __init__(self, checkpoint: str | None, width: int, **options: Any) -> None:
        super().__init__(checkpoint, **options)
        self.register_buffer("text", torch.zeros(len(self.names), width))
        self.register_buffer("words", torch.zeros(32, dtype=torch.uint8))  # what `text` was made of

    def embed(self) -> None:
        """Make the text features anew, of the names over the templates."""
        device = self.text.device
        self.text = self.clip.embed(self.names, self.templates)
        self.words = digest(self.names, self.templates).to(device)

    @property
    def foreign(self) -> bool:
        """Whether the text features are of other names or templates than the model's."""
        return not torch.equal(self.words.cpu(), digest(self.names, self.templates))

    def begin(self, path: Path) -> None:
        """As in `TrainedSegmentor`; text features of other words than the config's are made anew."""
        super().begin(path)
        if self.foreign:
            self.embed()

    def take(self, state: dict[str, Tensor], path: Path) -> None:
        """As in `TrainedSegmentor`; for other names than those of the training, text features are made anew."""
        words, text = state.get("words"), state.get("text")
        other = words is not None and not torch.equal(words.cpu(), digest(self.names, self.templates))
        if other and text is not None and text.shape[1] == self.text.shape[1]:
            state = state | {"text": self.text.new_zeros(len(self.names), text.shape[1])}
            self.text = state["text"]
        super().take(state, path)
        if other and self.names:
            self.embed()


def digest(names: Sequence[str], templates: Sequence[str]) -> Tensor:
    """What text features are made of, as hashes (32,) uint8: 16 of the names, then 16 of the templates."""
    said = (hashlib.sha256(json.dumps(list(words)).encode()).digest()[:NAMES] for words in (names, templates))
    return torch.tensor(list(b"".join(said)), dtype=torch.uint8)
