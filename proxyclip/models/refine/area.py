"""Area threshold: small classes are dropped; their pixels get the next best class.

Wang et al., "SCLIP: Rethinking Self-Attention for Dense Vision-Language Inference" (arXiv 2312.01597), in its code for
PASCAL VOC with background.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor


@dataclass(frozen=True)
class Area:
    """Zero probability for classes with too small a share of the foreground.

    Foreground is every pixel whose best class is not class 0, which must be background. An image without foreground
    stays as it is.

    Args:
        threshold: share of the foreground pixels, 0 to 1, up to which a class is dropped.
    """

    threshold: float = 0.1
    on: ClassVar[str] = "probabilities"

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"Expected threshold of area as a share from 0 to 1, but got {self.threshold}")

    def __call__(self, probabilities: Tensor, image: Tensor | None = None) -> Tensor:
        pixels = probabilities.argmax(0).flatten().bincount(minlength=len(probabilities))
        foreground = pixels[1:].sum()
        small = pixels.double() / foreground <= self.threshold  # nothing is small where there is no foreground
        small[0] = False
        return probabilities.masked_fill(small[:, None, None], 0)
