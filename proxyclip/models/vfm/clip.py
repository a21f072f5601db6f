"""The segmentor's own CLIP as guide: patch tokens of a middle block.

SC-CLIP takes the similarity of patches from such a layer, the ninth of twelve (Bai et al., arXiv 2411.15869).
"""

from typing import Any

from torch import Tensor, nn


class CLIPFeatures(nn.Module):
    """Patch tokens after one of CLIP's blocks; the weights stay the segmentor's.

    Args:
        clip: the segmentor's CLIP: `tokens(images, layer)`, `from_rgb`, `depth` and `patch`.
        layer: number of blocks, 1 to `depth`; default three quarters of them (9 of 12, 18 of 24).

    Raises:
        ValueError: `layer` out of range.
    """

    def __init__(self, clip: Any, layer: int | None = None) -> None:
        super().__init__()
        self.layer = max(round(clip.depth * 3 / 4), 1) if layer is None else layer
        if self.layer not in range(1, clip.depth + 1):
            raise ValueError(f"Expected layer to be 1 to {clip.depth}, the blocks of this CLIP, but got {layer!r}")
        self.patch = clip.patch
        # Methods, not the module: its weights stay the segmentor's, to move, to cast and to count once.
        self._tokens = clip.tokens
        self._from_rgb = clip.from_rgb

    def forward(self, image: Tensor) -> Tensor:
        """RGB in [0, 1] (B, 3, H, W) -> (B, C, H / patch, W / patch)."""
        tokens, grid = self._tokens(self._from_rgb(image).to(image.dtype), self.layer)
        return tokens[:, 1:].mT.unflatten(2, grid)
