"""Base class of CLIP models: image normalization and text features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.transformer import TextTransformer, text_global_pool
from torch import Tensor, nn

from proxyclip.models.clip.prompts import embed_class_names, load_or_compute_features
from proxyclip.models.weights import fingerprint_module

TEXT_BATCH = {"cpu": 80, "cuda": 2048}  # prompts at once; on 2 CPU cores 640 took 1.7 times as long as 80


class TextCLIP(nn.Module):
    """An open_clip model, frozen.

    "CLIP-normalised" images are so by OpenAI's mean and standard deviation, whichever CLIP it is; one that was trained
    with others (LAION's L/14, CLIPA) gets them inside.

    Args:
        model: open_clip.CLIP or CustomTextCLIP.
        tokenizer: open_clip tokenizer of that model.
    """

    mean: Tensor
    std: Tensor
    own_mean: Tensor
    own_std: Tensor

    def __init__(self, model: nn.Module, tokenizer: Callable[[list[str]], Tensor]) -> None:
        super().__init__()
        self.model: Any = model.requires_grad_(False).eval()
        self.tokenizer = tokenizer
        visual: Any = model.visual
        own = tuple(visual.preprocess_cfg["mean"]), tuple(visual.preprocess_cfg["std"])
        values = dict(mean=OPENAI_DATASET_MEAN, std=OPENAI_DATASET_STD, own_mean=own[0], own_std=own[1])
        for name, value in values.items():
            self.register_buffer(name, torch.tensor(value).view(3, 1, 1), persistent=False)
        self.needs_renormalization = own != (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)

    def renormalize(self, images: Tensor) -> Tensor:
        """CLIP-normalised images (B, 3, H, W) as this very model wants them."""
        if not self.needs_renormalization:
            return images
        return ((self.to_rgb(images) - self.own_mean) / self.own_std).to(images.dtype)

    def to_rgb(self, images: Tensor) -> Tensor:
        """Undo CLIP's normalisation: (B, 3, H, W) -> RGB in [0, 1]."""
        return images * self.std + self.mean

    def from_rgb(self, images: Tensor) -> Tensor:
        """CLIP's normalisation: RGB in [0, 1] (B, 3, H, W) -> (B, 3, H, W)."""
        return (images - self.mean) / self.std

    @property
    def _text_tower(self) -> Any:
        """The module that holds the text tower: the model itself, or its `text`."""
        return getattr(self.model, "text", self.model)

    @property
    def _text_pooling(self) -> str:
        """Pooling of the text tower: argmax or eos (the end token), last or first."""
        m = self._text_tower
        return m.pool_type if isinstance(m, TextTransformer) else m.text_pool_type

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Text features (B, d), not normalised, of token ids (B, L).

        L may be shorter than the context: in a causal tower what follows the end token changes nothing; for another
        (CLIPA) the zeros that were cut off are put back.
        """
        m = self._text_tower
        pooling = self._text_pooling
        if m.attn_mask is None or pooling == "last":
            tokens = F.pad(tokens, (0, m.context_length - tokens.shape[1]))
        length = tokens.shape[1]
        x = m.token_embedding(tokens) + m.positional_embedding[:length]
        mask = None if m.attn_mask is None else m.attn_mask[:length, :length]
        x = m.ln_final(m.transformer(x, attn_mask=mask))
        x = text_global_pool(x, tokens, pooling, m.eos_id if isinstance(m, TextTransformer) else m.text_eos_id)
        if m.text_projection is None:
            return x
        return m.text_projection(x) if isinstance(m.text_projection, nn.Linear) else x @ m.text_projection

    def embed(self, names: Sequence[str], templates: Sequence[str], unit: bool = True) -> Tensor:
        """Compute text features (names, d) of names over templates, float32, or load them from the disk cache.

        With `unit`, each row is made unit; without, it stays the mean of the templates' unit features.
        """
        device = self.mean.device
        weights = fingerprint_module(self.model, skip="visual.")
        block = self._text_tower.transformer.resblocks[0]
        tower = [repr(block), block.attn.num_heads, self._text_pooling]
        key = [weights, *tower, type(self.tokenizer).__name__, open_clip.__version__, device.type]
        key += [] if unit else ["means"]
        batch = TEXT_BATCH.get(device.type, TEXT_BATCH["cuda"])

        def encode(tokens: Tensor) -> Tensor:
            return self.encode_text(tokens.to(device))

        return load_or_compute_features(
            [*key, list(names), list(templates)],
            lambda: embed_class_names(names, templates, self.tokenizer, encode, batch, unit=unit),
        ).to(device)
