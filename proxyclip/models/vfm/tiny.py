"""VFMs of the embedded tiny world (see proxyclip/tinyworld/README.md)."""

from typing import ClassVar

from proxyclip.models.vfm._timm import TimmViT


class Tiny(TimmViT):
    """`contrast` (default) or `mae`, trained on drawn scenes only.

    A name with ':' is one of timm's, as elsewhere.

    Raises:
        ValueError: another name.
    """

    default = "contrast"
    variants: ClassVar[dict[str, str]] = {
        name: f"local-dir:proxyclip/tinyworld/weights/{name}" for name in ("contrast", "mae")
    }

    def __init__(self, model: str | None = None, checkpoint: str | None = None, features: str = "tokens") -> None:
        name = model or self.default
        if name not in self.variants and ":" not in name:
            raise ValueError(f"Expected a VFM of the tiny world, one of {', '.join(self.variants)}, but got {name!r}")
        super().__init__(self.variants.get(name, name), checkpoint, features)
