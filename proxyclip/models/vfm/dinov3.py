"""DINOv3: Siméoni et al. (arXiv 2508.10104), by timm. Weights: DINOv3 licence (ai.meta.com), not an open-source one.

It has no position table: rotary positions come from patch centres scaled to [-1, 1] on each axis, whatever the window.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from proxyclip.models.layers.cpu_attention import use_headwise_attention
from proxyclip.models.vfm._timm import IMAGENET_MEAN, IMAGENET_STD, TimmViT, project_timm_qkv


class DINOv3(TimmViT):
    """DINOv3 ViT (`vit_{small,base,large,...}_patch16_dinov3.lvd1689m`), patch features of the last block.

    Args:
        model, checkpoint: as in TimmViT (default ViT-B/16); `checkpoint` may be one of Meta's own `.pth` files.
        features: `tokens`, or `q`, `k`, `v` as they are before the rotation by position.

    Raises:
        WeightsError: the weights cannot be had; the message says where to get and put them.
        ValueError: unknown kind of features.
    """

    default = "vit_base_patch16_dinov3.lvd1689m"
    variants: ClassVar[dict[str, str]] = {
        "s": "vit_small_patch16_dinov3.lvd1689m",
        "s+": "vit_small_plus_patch16_dinov3.lvd1689m",
        "b": "vit_base_patch16_dinov3.lvd1689m",
        "l": "vit_large_patch16_dinov3.lvd1689m",
        "h+": "vit_huge_plus_patch16_dinov3.lvd1689m",
    }

    def _normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        record = self.vit.pretrained_cfg
        return tuple(record.get("mean", IMAGENET_MEAN)), tuple(record.get("std", IMAGENET_STD))

    def forward(self, image: Tensor) -> Tensor:
        """RGB in [0, 1] (B, 3, H, W) -> (B, D, H / 16, W / 16)."""
        normed, last, tokens = (image - self.mean) / self.std, self.vit.blocks[-1], self.features == "tokens"
        depth = len(self.vit.blocks)
        with use_headwise_attention(image):
            (x,) = self.vit.forward_intermediates(
                normed, indices=[depth - (1 if tokens else 2)], norm=tokens, stop_early=True, intermediates_only=True
            )
        if tokens:
            return x
        return project_timm_qkv(last, x.flatten(2).mT, self.features).mT.unflatten(2, x.shape[2:])
