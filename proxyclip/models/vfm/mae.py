"""MAE: its encoder, with position tables resized by size, bicubic.

He et al., "Masked Autoencoders Are Scalable Vision Learners" (arXiv 2111.06377). Weights: CC BY-NC 4.0.
"""

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from proxyclip.models.vfm._timm import TimmViT
from proxyclip.models.weights import WeightsError


class MAE(TimmViT):
    """`vit_*_patch{16,14}_224.mae`, on the window or resized to a fixed size.

    Args:
        model: timm name or folder; with `checkpoint`, the architecture of that file (default ViT-B/16).
        checkpoint: an official `mae_pretrain_vit_*.pth`, or any file with the encoder's weights.
        size: side in pixels every window is resized to first, as the published code does with its window size;
            None keeps the window.
        features: tokens, q, k or v, as in TimmViT.

    Raises:
        WeightsError: neither `model` nor `checkpoint` is set. ValueError: unknown type of features.
    """

    offset = 0.0
    default = "vit_base_patch16_224.mae"
    variants: ClassVar[dict[str, str]] = {
        "b": "vit_base_patch16_224.mae",
        "l": "vit_large_patch16_224.mae",
        "h": "vit_huge_patch14_224.mae",
    }

    def __init__(
        self, model: str | None = None, checkpoint: str | None = None, size: int | None = None, features: str = "tokens"
    ) -> None:
        if model is None and checkpoint is None:
            raise WeightsError(
                "MAE needs its weights named: checkpoint='mae_pretrain_vit_base.pth' (from "
                "https://github.com/facebookresearch/mae), or vfm_model=dict(type='mae', "
                "model='vit_base_patch16_224.mae') to let timm fetch them, which is --vfm mae-b."
            )
        super().__init__(model, checkpoint, features)
        self.size = size

    def forward(self, image: Tensor) -> Tensor:
        """RGB in [0, 1] (B, 3, H, W) -> (B, D, h, w)."""
        if self.size is not None:
            image = F.interpolate(image, size=(self.size, self.size), mode="bilinear")
        return super().forward(image)
