"""DINOv2: Oquab et al. (arXiv 2304.07193); registers: Darcet et al. (2309.16588).

The two releases resize their position table differently: with registers by size and antialiased, without them by
scale factor like DINO.
"""

from typing import ClassVar

from proxyclip.models.vfm._timm import TimmViT

SIZE_NAMES = {"s": "small", "b": "base", "l": "large", "g": "giant"}


class DINOv2(TimmViT):
    """`vit_*_patch14[_reg4]_dinov2.lvd142m`; default ViT-B/14 with registers."""

    default = "vit_base_patch14_reg4_dinov2.lvd142m"
    variants: ClassVar[dict[str, str]] = {
        **{size: f"vit_{name}_patch14_dinov2.lvd142m" for size, name in SIZE_NAMES.items()},
        **{f"{size}-reg": f"vit_{name}_patch14_reg4_dinov2.lvd142m" for size, name in SIZE_NAMES.items()},
    }

    def __init__(self, model: str | None = None, checkpoint: str | None = None, features: str = "tokens") -> None:
        super().__init__(model, checkpoint, features)
        if self.vit.reg_token is not None:
            self.offset = 0.0
            self.antialias = True
