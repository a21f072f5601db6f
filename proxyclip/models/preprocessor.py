"""Normalisation of test images as CLIP wants it, batches of any sizes allowed."""

from __future__ import annotations

from typing import Any

from mmseg.models.data_preprocessor import SegDataPreProcessor
from mmseg.registry import MODELS

PIXEL_MEAN, PIXEL_STD = (122.771, 116.746, 104.094), (68.501, 66.632, 70.323)


@MODELS.register_module()
class MixedSizePreProcessor(SegDataPreProcessor):
    """SegDataPreProcessor that leaves test images of several sizes as a list instead of refusing them.

    Defaults are CLIP's mean and standard deviation in 0..255 RGB, and BGR images as mmcv reads them.
    """

    def __init__(
        self, mean: tuple = PIXEL_MEAN, std: tuple = PIXEL_STD, bgr_to_rgb: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(mean=mean, std=std, bgr_to_rgb=bgr_to_rgb, **kwargs)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """As in SegDataPreProcessor; `inputs` of unequal sizes come back as a list of (3, H, W)."""
        inputs = data["inputs"]
        if training or len({tuple(x.shape) for x in inputs}) == 1:
            return super().forward(data, training)
        samples = data.get("data_samples") or [None] * len(inputs)
        each = [
            super(MixedSizePreProcessor, self).forward({"inputs": [x], "data_samples": [s]}, False)
            for x, s in zip(inputs, samples, strict=True)
        ]
        return {"inputs": [e["inputs"][0] for e in each], "data_samples": data.get("data_samples")}
