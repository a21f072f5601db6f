"""MaskCLIP as a teacher: dense CLIP features without training, of a ViT or of one of OpenAI's ResNets.

Zhou, Loy and Dai, "Extract Free Dense Labels from CLIP" (arXiv 2112.01071), section 3.1: the last attention is reduced
to its value path, so that every position keeps its own feature in the image-text space.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from open_clip.modified_resnet import ModifiedResNet
from torch import Tensor, nn

from ...attention._parts import projected_keys
from ...attention.maskclip import MaskCLIP
from ...clip import DenseCLIP
from ...clip_text import TextCLIP
from ...clip_weights import load_model
from ...methods.maskclip import as_published, denoise, smooth
from ..model import check_parity


class Teacher(nn.Module):
    """A frozen CLIP that gives each position of an image a feature of the image-text space.

    Subclasses give `forward`: CLIP-normalised images (N, 3, H, W) -> features (N, D, h, w) float32, not normalised,
    and keys (N, h*w, E).
    """

    def __init__(self, clip: TextCLIP) -> None:
        super().__init__()
        self.clip = clip
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Teacher:
        """A teacher is always in evaluation mode: its BatchNorm must not learn."""
        return super().train(False)


class ViTTeacher(Teacher):
    """A ViT: values of the last block through its output projection, without any mixing of positions.

    Args:
        residual: keep the residual connection and the MLP of the last block, as MaskCLIP does; comparisons of later
            papers leave them out.
        parity: "upstream" has what the published code does: erf-GELU and epsilon 1e-6 in the image tower, and positions
            resized by size.
    """

    def __init__(self, clip: DenseCLIP, residual: bool = True, parity: str = "paper") -> None:
        super().__init__(clip)
        self.strategy = MaskCLIP(residual=residual)
        if parity == "upstream":
            clip.position_offset = 0.0
            as_published(clip.model.visual)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Zero-pads images at the bottom and on the right to whole patches."""
        clip: Any = self.clip
        h, w = images.shape[2:]
        x, grid = clip.tokens(F.pad(images, (0, -w % clip.patch, 0, -h % clip.patch)))
        tokens, grid = self.strategy(clip.last, x, grid, None)
        return clip.project(tokens, grid), projected_keys(clip.last, x)


class ResNetTeacher(Teacher):
    """A ModifiedResNet: value and output projection of its attention pool as 1x1 convolutions.

    Args:
        attention_pooling: the whole attention pool instead, without positions, and without its mean token at the end.
    """

    def __init__(self, clip: TextCLIP, attention_pooling: bool = False) -> None:
        super().__init__(clip)
        self.attention_pooling = attention_pooling

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Output stride 32; sides are floored."""
        clip, visual = self.clip, self.clip.model.visual
        x = visual.stem(clip.renormalise(images))
        for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            x = layer(x)
        grid, pool, tokens = x.shape[2:], visual.attnpool, x.flatten(2).mT
        dense = _pooled(pool, tokens) if self.attention_pooling else pool.c_proj(pool.v_proj(tokens))
        return dense.float().mT.unflatten(2, grid), pool.k_proj(tokens)


def _pooled(pool: Any, tokens: Tensor) -> Tensor:
    """Multi-head attention over the mean token and all tokens (N, L, E) -> (N, L, D), without the first."""
    x = torch.cat([tokens.mean(1, keepdim=True), tokens], 1)
    q, k, v = (
        project(x).unflatten(2, (pool.num_heads, -1)).transpose(1, 2)
        for project in (pool.q_proj, pool.k_proj, pool.v_proj)
    )
    mixed = F.scaled_dot_product_attention(q, k, v)
    return pool.c_proj(mixed.transpose(1, 2).flatten(2))[:, 1:]


def build_teacher(
    model_type: str,
    clip_type: str | None = None,
    residual: bool = True,
    attention_pooling: bool = False,
    parity: str = "paper",
) -> Teacher:
    """The teacher of a CLIP by open_clip's name (`ViT-B-16`, `RN50`, `RN50x16`), `local-dir:FOLDER` or `hf-hub:NAME`.

    Args:
        clip_type: tag of the weights or a file; None for a folder or hub model.
        residual: of a ViT; attention_pooling: of a ResNet.

    Raises:
        WeightsError: the weights cannot be had; the message says where to get them.
        TypeError: a CLIP with another image tower. ValueError: an unknown name, tag or parity.
    """
    check_parity(parity)
    model, tokenizer = load_model(model_type, clip_type, resnets=True)
    if isinstance(model.visual, ModifiedResNet):
        return ResNetTeacher(TextCLIP(model, tokenizer), attention_pooling)
    return ViTTeacher(DenseCLIP(model, tokenizer), residual, parity)


def scores(
    features: Tensor,
    keys: Tensor,
    text: Tensor,
    *,
    weights: Tensor | None = None,
    key_smoothing: float = 0.0,
    prompt_denoising: float = 0.0,
    parity: str = "paper",
) -> Tensor:
    """Scores of the rows of `text`, refined: class weight, then prompt denoising, then key smoothing.

    Args:
        features: (N, D, h, w); keys: (N, h*w, E), of a teacher.
        text: unit rows (C, D).
        weights: factors of the classes (N, C), see `class_weight`.
        key_smoothing, prompt_denoising: thresholds, 0 is off; see `methods.maskclip`.

    Returns:
        (N, C, h, w) float32: cosines, where nothing is refined.
    """
    found = torch.einsum("ndhw,cd->nchw", F.normalize(features.float(), dim=1), text)
    if weights is not None:
        found = found * weights[..., None, None]
    refined = smooth(denoise(found.flatten(2), prompt_denoising), keys, key_smoothing, parity)
    return refined.unflatten(2, tuple(found.shape[2:]))
