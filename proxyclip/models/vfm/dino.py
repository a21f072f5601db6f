"""DINO: position tables are resized as in DINO's own code.

Caron et al., "Emerging Properties in Self-Supervised Vision Transformers" (arXiv 2104.14294). Weights by timm, which
equal the original ones.
"""

from typing import ClassVar

from proxyclip.models.vfm._timm import TimmViT


class DINO(TimmViT):
    """`vit_{small,base}_patch{8,16}_224.dino`; default ViT-B/8, the published choice."""

    default = "vit_base_patch8_224.dino"
    variants: ClassVar[dict[str, str]] = {
        f"{size[0]}{patch}": f"vit_{size}_patch{patch}_224.dino" for size in ("small", "base") for patch in (16, 8)
    }
