"""DINOv2: Oquab et al. (arXiv 2304.07193), with registers: Darcet et al. (arXiv 2309.16588).

The two releases resize their position table differently: with registers by size and antialiased, without them by
scale factor like DINO.
"""

from __future__ import annotations

from ._timm import TimmViT


class DINOv2(TimmViT):
    """DINOv2 ViT (`vit_{small,base,large}_patch14[_reg4]_dinov2.lvd142m`); default ViT-B/14 with registers."""

    default = "vit_base_patch14_reg4_dinov2.lvd142m"

    def __init__(self, model: str | None = None, checkpoint: str | None = None) -> None:
        super().__init__(model, checkpoint)
        if self.vit.reg_token is not None:
            self.offset, self.antialias = 0.0, True
