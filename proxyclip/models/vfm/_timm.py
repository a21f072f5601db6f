"""Plain ViTs of timm as guides.

Features are the last block's tokens, or the queries, keys or values of its attention: ProxyCLIP's paper (arXiv
2408.04883) compares them for DINO.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from proxyclip.models.layers.cpu_attention import use_headwise_attention
from proxyclip.models.layers.pos_embed import resize_positions
from proxyclip.models.vfm._loading import create_timm_vit

FEATURE_KINDS = ("tokens", "q", "k", "v")


class TimmViT(nn.Module):
    """Patch features of a timm VisionTransformer's last block, at any size.

    Args:
        model: timm name, `hf-hub:<repository>` or `local-dir:<folder>`.
        checkpoint: weights file for an architecture given by name; without it timm fetches its own weights.
        features: `tokens` (the block's output, normed), or `q`, `k`, `v` of its attention, heads side by side.

    Raises:
        WeightsError: the weights are not available; the message has the source and the place to put them.
        ValueError: unknown type of features.
    """

    offset = 0.1
    antialias = False
    default = ""
    variants: ClassVar[dict[str, str]] = {}
    family: ClassVar[str]
    vit: Any
    mean: Tensor
    std: Tensor

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.family = cls.__module__.rpartition(".")[2]

    def __init__(self, model: str | None = None, checkpoint: str | None = None, features: str = "tokens") -> None:
        super().__init__()
        if features not in FEATURE_KINDS:
            raise ValueError(f"Expected features to be one of {', '.join(FEATURE_KINDS)}, but got {features!r}")
        self.name = model or self.default
        self.features = features
        self.vit = create_timm_vit(self.name, checkpoint, self.family, self.variants, any_size=model is None)
        self.vit.requires_grad_(False).eval()
        self.patch = self.vit.patch_embed.patch_size[0]
        register_normalization(self, *self._normalization())

    def _normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    def forward(self, image: Tensor) -> Tensor:
        """RGB in [0, 1] (B, 3, H, W) -> (B, D, H / patch, W / patch)."""
        vit = self.vit
        patches = vit.patch_embed((image - self.mean) / self.std)  # B, h, w, D
        grid = (patches.shape[1], patches.shape[2])
        x = vit.norm_pre(self._embed(patches.flatten(1, 2), grid))
        last = vit.blocks[-1]
        with use_headwise_attention(x):
            x = vit.blocks[:-1](x)
            x = vit.norm(last(x)) if self.features == "tokens" else project_timm_qkv(last, x, self.features)
        return x[:, -grid[0] * grid[1] :].mT.unflatten(2, grid)

    def _embed(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Add class token, registers and positions in the order of the training."""
        vit = self.vit
        prefix = [t.expand(len(x), -1, -1) for t in (vit.cls_token, vit.reg_token) if t is not None]
        table = None if vit.pos_embed is None else self.positions(grid)
        if table is not None and vit.no_embed_class:
            return torch.cat([*prefix, x + table], dim=1)
        x = torch.cat([*prefix, x], dim=1)
        return x if table is None else x + table

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Resize the position table to a grid of (h, w) patches: (prefix + h*w, D)."""
        native = self.vit.patch_embed.grid_size
        return resize_positions(self.vit.pos_embed[0], native, grid, self.offset, self.antialias)


def register_normalization(module: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    """Register `mean` and `std` of a module as buffers (3, 1, 1) that are not saved."""
    module.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
    module.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)


def project_timm_qkv(block: Any, x: Tensor, part: str) -> Tensor:
    """Compute q, k or v (`part`) of a timm block, before rotary positions.

    Input of the block (B, N, D) -> (B, N, D), heads side by side.
    """
    attn = block.attn
    index = FEATURE_KINDS[1:].index(part)
    bias = getattr(attn, f"{part}_bias", None)  # where EVA's attention has it
    if attn.qkv.bias is not None:
        bias = attn.qkv.bias.chunk(3)[index]
    x = F.linear(block.norm1(x), attn.qkv.weight.chunk(3)[index], bias)
    norm = getattr(attn, f"{part}_norm", None)
    return x if norm is None else norm(x.unflatten(2, (attn.num_heads, -1))).flatten(2)
