"""Base class of CLIP models: image normalization and text features."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.transformer import TextTransformer, text_global_pool
from torch import Tensor, nn

from proxyclip.models.clip.prompts import embed_class_names
from proxyclip.models.clip.text_cache import load_or_compute_features
from proxyclip.models.weights.reading import fingerprint_module

TEXT_BATCH = {"cpu": 80, "cuda": 2048}  # prompts at once; on 2 CPU cores 640 took 1.7 times as long as 80


class TextCLIP(nn.Module):
    """Frozen open_clip model.

    "CLIP-normalized" images are so by OpenAI's mean and standard deviation, whichever CLIP it is; one that was trained
    with others (LAION's L/14, CLIPA) renormalizes them inside.

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
        own = (tuple(visual.preprocess_cfg["mean"]), tuple(visual.preprocess_cfg["std"]))
        constants = dict(mean=OPENAI_DATASET_MEAN, std=OPENAI_DATASET_STD, own_mean=own[0], own_std=own[1])
        for name, value in constants.items():
            self.register_buffer(name, torch.tensor(value).view(3, 1, 1), persistent=False)
        self.needs_renormalization = own != (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)

    def renormalize(self, images: Tensor) -> Tensor:
        """Convert CLIP-normalized images (B, 3, H, W) to this model's normalization."""
        if not self.needs_renormalization:
            return images
        return ((self.to_rgb(images) - self.own_mean) / self.own_std).to(images.dtype)

    def to_rgb(self, images: Tensor) -> Tensor:
        """Undo CLIP's normalization: (B, 3, H, W) -> RGB in [0, 1]."""
        return images * self.std + self.mean

    def from_rgb(self, images: Tensor) -> Tensor:
        """Apply CLIP's normalization: RGB in [0, 1] (B, 3, H, W) -> (B, 3, H, W)."""
        return (images - self.mean) / self.std

    @property
    def _text_tower(self) -> Any:
        """The module that holds the text tower: the model itself, or its `text`."""
        return getattr(self.model, "text", self.model)

    @property
    def _text_pooling(self) -> str:
        """Pooling of the text tower: argmax or eos (the end token), last or first."""
        tower = self._text_tower
        return tower.pool_type if isinstance(tower, TextTransformer) else tower.text_pool_type

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Encode token ids (B, L) into text features (B, d), not normalized.

        L may be shorter than the context: in a causal tower tokens after the end token change nothing; for another
        (CLIPA) the missing zeros are appended.
        """
        tower = self._text_tower
        pooling = self._text_pooling
        if tower.attn_mask is None or pooling == "last":
            tokens = F.pad(tokens, (0, tower.context_length - tokens.shape[1]))
        length = tokens.shape[1]
        x = tower.token_embedding(tokens) + tower.positional_embedding[:length]
        mask = None if tower.attn_mask is None else tower.attn_mask[:length, :length]
        x = tower.ln_final(tower.transformer(x, attn_mask=mask))
        eos = tower.eos_id if isinstance(tower, TextTransformer) else tower.text_eos_id
        x = text_global_pool(x, tokens, pooling, eos)
        projection = tower.text_projection
        if projection is None:
            return x
        return projection(x) if isinstance(projection, nn.Linear) else x @ projection

    def embed(self, names: Sequence[str], templates: Sequence[str], unit: bool = True) -> Tensor:
        """Compute or load cached text features (names, d) float32.

        Each row is the mean of the templates' unit features, itself made unit with `unit`.
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

        compute = partial(embed_class_names, names, templates, self.tokenizer, encode, batch, unit=unit)
        key += [list(names), list(templates)]
        return load_or_compute_features(key, compute, rows=len(names)).to(device)
