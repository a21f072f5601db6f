"""MaskCLIP as a teacher: dense CLIP features of a ViT or a ResNet.

Zhou, Loy and Dai, "Extract Free Dense Labels from CLIP" (arXiv 2112.01071), section 3.1: the last attention is reduced
to its value path, so that every position keeps its own feature in the image-text space.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.structures import SegDataSample
from open_clip.modified_resnet import ModifiedResNet
from torch import Tensor, nn

from proxyclip.models.attention.maskclip import MaskCLIP
from proxyclip.models.clip.dense import DenseCLIP
from proxyclip.models.clip.loading import load_open_clip
from proxyclip.models.clip.text import TextCLIP
from proxyclip.models.layers.block import project_keys
from proxyclip.models.segmentors.maskclip import (
    apply_key_smoothing,
    apply_prompt_denoising,
    apply_published_tower_settings,
)
from proxyclip.models.trained.base import PARITIES, check_choice
from proxyclip.models.trained.maskclip_plus.class_weight import ClassWeight, check_tau

OptionDict = dict[str, Any]


class Teacher(nn.Module):
    """A frozen CLIP with a feature of the image-text space at each position.

    Subclasses implement `forward`: CLIP-normalized images (N, 3, H, W) -> features (N, D, h, w) float32, not
    normalized, and keys (N, h*w, E).
    """

    def __init__(self, clip: TextCLIP) -> None:
        super().__init__()
        self.clip = clip
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Any:
        """Stay in evaluation mode (frozen BatchNorm)."""
        return super().train(False)


class ViTTeacher(Teacher):
    """Teacher of a ViT: values of the last block through its output projection, unmixed.

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
            apply_published_tower_settings(clip.model.visual)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Compute features and keys of images, zero-padded to whole patches."""
        clip: Any = self.clip
        h, w = images.shape[2:]
        x, grid = clip.tokens(F.pad(images, (0, -w % clip.patch, 0, -h % clip.patch)))
        tokens, grid = self.strategy(clip.last, x, grid, None)
        return clip.project(tokens, grid), project_keys(clip.last, x)


class ResNetTeacher(Teacher):
    """Teacher of a ModifiedResNet: value and output projection of its attention pool.

    Args:
        attention_pooling: the whole attention pool instead, without positions, and without its mean token at the end.
    """

    def __init__(self, clip: TextCLIP, attention_pooling: bool = False) -> None:
        super().__init__(clip)
        self.attention_pooling = attention_pooling

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Compute features and keys at output stride 32; sides are floored."""
        clip = self.clip
        visual = clip.model.visual
        x = visual.stem(clip.renormalize(images))
        for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            x = layer(x)
        grid = x.shape[2:]
        pool = visual.attnpool
        tokens = x.flatten(2).mT
        dense = _apply_attention_pool(pool, tokens) if self.attention_pooling else pool.c_proj(pool.v_proj(tokens))
        return dense.float().mT.unflatten(2, grid), pool.k_proj(tokens)


def _apply_attention_pool(pool: Any, tokens: Tensor) -> Tensor:
    """Attend over the mean token and all tokens (N, L, E); return (N, L, D)."""
    x = torch.cat([tokens.mean(1, keepdim=True), tokens], 1)
    q, k, v = (
        project(x).unflatten(2, (pool.num_heads, -1)).transpose(1, 2)
        for project in (pool.q_proj, pool.k_proj, pool.v_proj)
    )
    mixed = F.scaled_dot_product_attention(q, k, v)
    return pool.c_proj(mixed.transpose(1, 2).flatten(2))[:, 1:]


class LazyTeacher:
    """Teacher and the CLIP that weighs classes, loaded on first use; no module, so that no model trains or stores them.

    Args:
        teacher: arguments of `build_teacher`; class_weight: of `ClassWeight`, or None.
        parity: "paper", or "upstream" with the quirks of the published code.
        key_smoothing, prompt_denoising: thresholds of the refinements of its scores; 0 is off.
    """

    def __init__(
        self,
        teacher: OptionDict,
        class_weight: OptionDict | None,
        parity: str,
        key_smoothing: float,
        prompt_denoising: float,
    ) -> None:
        check_choice("parity", parity, PARITIES)
        if class_weight is not None:
            check_tau(class_weight.get("tau", 0))
        self.cfg = teacher
        self.weight_cfg = class_weight
        self.parity = parity
        self.refinement = dict(key_smoothing=key_smoothing, prompt_denoising=prompt_denoising)
        self.teacher: Teacher | None = None
        self.weights: ClassWeight | None = None

    def open(self, device: torch.device) -> Teacher:
        """Return the teacher, loaded on the first call."""
        if self.teacher is None:
            self.teacher = build_teacher(**self.cfg, parity=self.parity).to(device)
        return self.teacher

    def load_class_weight(self, names: Sequence[str], templates: Sequence[str], device: torch.device) -> None:
        """Load the CLIP that weighs classes, if one is configured."""
        if self.weight_cfg is not None and self.weights is None:
            self.weights = ClassWeight(names, templates, **self.weight_cfg).to(device)

    def get_sample_weights(self, samples: Sequence[SegDataSample] | None) -> Tensor | None:
        """Compute weights of the classes for samples (N, C); None without class weight.

        Raises:
            ValueError: a sample has no `img_path`.
        """
        if self.weights is None:
            return None
        files = [sample.metainfo.get("img_path") for sample in samples or ()]
        if not files or None in files:
            raise ValueError("class_weight looks at the image files, so that every sample must have its img_path")
        return self.weights(files)

    @torch.no_grad()
    def score(
        self,
        images: Tensor,
        preprocessor: Any,
        text: Tensor,
        weights: Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Compute refined scores (N, C, h, w) of text rows by the teacher.

        Args:
            images: (N, 3, H, W), normalized by `preprocessor`, the data preprocessor. The teacher gets them as they are
                in the parity "upstream", else normalized like CLIP's images.
            weights: factors of the classes (N, C).
            dtype: of the image tower.
        """
        features, keys = self.features(images, preprocessor, dtype)
        with torch.autocast(images.device.type, enabled=False):  # bfloat16 is too coarse to tell cosines apart
            return compute_teacher_scores(features, keys, text, weights=weights, parity=self.parity, **self.refinement)

    @torch.no_grad()
    def features(self, images: Tensor, preprocessor: Any, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
        """Compute the teacher's features (N, D, h, w) and keys (N, h*w, E)."""
        teacher = self.open(images.device)
        if self.parity == "paper":
            images = teacher.clip.from_rgb((images * preprocessor.std + preprocessor.mean) / 255)
        return teacher(images if dtype is None else images.to(dtype))


def build_teacher(
    model_type: str,
    clip_type: str | None = None,
    residual: bool = True,
    attention_pooling: bool = False,
    parity: str = "paper",
) -> Teacher:
    """Build the teacher of a CLIP by name.

    Args:
        model_type: open_clip's name (`ViT-B-16`, `RN50`, `RN50x16`), `local-dir:FOLDER` or `hf-hub:NAME`.
        clip_type: tag of the weights or a file; None for a folder or hub model.
        residual: of a ViT; attention_pooling: of a ResNet.

    Raises:
        WeightsError: the weights cannot be had; the message has the source.
        TypeError: a CLIP with another image tower. ValueError: an unknown name, tag or parity.
    """
    check_choice("parity", parity, PARITIES)
    model, tokenizer = load_open_clip(model_type, clip_type, resnets=True)
    if isinstance(model.visual, ModifiedResNet):
        return ResNetTeacher(TextCLIP(model, tokenizer), attention_pooling)
    return ViTTeacher(DenseCLIP(model, tokenizer), residual, parity)


def compute_teacher_scores(
    features: Tensor,
    keys: Tensor,
    text: Tensor,
    *,
    weights: Tensor | None = None,
    key_smoothing: float = 0.0,
    prompt_denoising: float = 0.0,
    parity: str = "paper",
) -> Tensor:
    """Score the rows of `text`, refined by class weight, prompt denoising and key smoothing, in this order.

    Args:
        features: (N, D, h, w); keys: (N, h*w, E), of a teacher.
        text: unit rows (C, D).
        weights: factors of the classes (N, C), see `class_weight`.
        key_smoothing, prompt_denoising: thresholds, 0 is off; see `methods.maskclip`.

    Returns:
        (N, C, h, w) float32: cosines, where nothing is refined.
    """
    scores = torch.einsum("ndhw,cd->nchw", F.normalize(features.float(), dim=1), text)
    if weights is not None:
        scores = scores * weights[..., None, None]
    denoised = apply_prompt_denoising(scores.flatten(2), prompt_denoising)
    refined = apply_key_smoothing(denoised, keys, key_smoothing, parity)
    return refined.unflatten(2, tuple(scores.shape[2:]))
