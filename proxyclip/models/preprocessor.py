"""CLIP normalization of images, for batches of any sizes."""

from typing import Any

from mmseg.models.data_preprocessor import SegDataPreProcessor
from mmseg.registry import MODELS

PIXEL_MEAN = (122.771, 116.746, 104.094)
PIXEL_STD = (68.501, 66.632, 70.323)


@MODELS.register_module()
class MixedSizePreProcessor(SegDataPreProcessor):
    """SegDataPreProcessor that accepts test images of several sizes.

    Defaults are CLIP's mean and standard deviation in 0..255 RGB, and BGR images as mmcv reads them.
    """

    def __init__(self, mean: tuple = PIXEL_MEAN, std: tuple = PIXEL_STD, bgr_to_rgb: bool = True, **kwargs: Any):
        super().__init__(mean=mean, std=std, bgr_to_rgb=bgr_to_rgb, **kwargs)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Normalize a batch; `inputs` of unequal sizes become a list of (3, H, W)."""
        inputs = data["inputs"]
        if training or len({tuple(x.shape) for x in inputs}) == 1:
            return super().forward(data, training)
        samples = data.get("data_samples") or [None] * len(inputs)
        parts = [
            super(MixedSizePreProcessor, self).forward({"inputs": [x], "data_samples": [s]}, False)
            for x, s in zip(inputs, samples, strict=True)
        ]
        return {"inputs": [part["inputs"][0] for part in parts], "data_samples": data.get("data_samples")}
