"""DINOv3: Siméoni et al. (arXiv 2508.10104), by timm.

The weights have the DINOv3 license (ai.meta.com), not an open-source one. There is no position table: rotary positions
come from patch centers scaled to [-1, 1] on each axis, whatever the window.
"""

from typing import ClassVar

from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor

from proxyclip.models.layers.cpu_attention import use_headwise_attention
from proxyclip.models.vfm._timm import TimmViT, project_timm_qkv


class DINOv3(TimmViT):
    """`vit_*_patch16_dinov3.lvd1689m`; default ViT-B/16.

    Arguments and errors are those of `TimmViT`; `checkpoint` may be one of Meta's own `.pth` files, and `q`, `k`, `v`
    are those before the rotation by position.
    """

    default = "vit_base_patch16_dinov3.lvd1689m"
    variants: ClassVar[dict[str, str]] = {
        size: f"vit_{name}_patch16_dinov3.lvd1689m"
        for size, name in {"s": "small", "s+": "small_plus", "b": "base", "l": "large", "h+": "huge_plus"}.items()
    }

    def _normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        record = self.vit.pretrained_cfg
        return tuple(record.get("mean", IMAGENET_DEFAULT_MEAN)), tuple(record.get("std", IMAGENET_DEFAULT_STD))

    def forward(self, image: Tensor) -> Tensor:
        """RGB in [0, 1] (B, 3, H, W) -> (B, D, H / 16, W / 16)."""
        vit = self.vit
        as_tokens = self.features == "tokens"
        block = len(vit.blocks) - (1 if as_tokens else 2)
        with use_headwise_attention(image):
            (x,) = vit.forward_intermediates(
                (image - self.mean) / self.std, [block], norm=as_tokens, stop_early=True, intermediates_only=True
            )
        if as_tokens:
            return x
        return project_timm_qkv(vit.blocks[-1], x.flatten(2).mT, self.features).mT.unflatten(2, x.shape[2:])
