"""Class weight: how much an image as a whole looks like each class, as a factor of its dense scores.

A later addition to MaskCLIP's code: the softmax over classes of the similarity of CLIP's global image feature to the
text features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor, nn

from ...clip_text import TextCLIP
from ...clip_weights import load_model


def weigh(image: Tensor, classes: Tensor, tau: float) -> Tensor:
    """softmax over classes of <image / |image|, class> / tau.

    Args:
        image: global features (N, D).
        classes: (C, D), means of unit text features, not made unit again.
        tau: temperature, above 0; 0.25 is used with the scores of a ResNet-50, 1 with those of a ViT-B/16.

    Returns:
        (N, C), rows sum to 1.
    """
    return (F.normalize(image.float(), dim=-1) @ classes.T / tau).softmax(-1)


class ClassWeight(nn.Module):
    """Weights of classes for image files, by a CLIP of its own, with its own preprocessing; frozen.

    Args:
        names: of the classes; templates: that they are embedded over.
        tau: see `weigh`. model_type, clip_type: the CLIP; ViT-B/16 also where the dense scores are a ResNet's.

    Raises:
        ValueError: tau is not above 0. WeightsError: the weights of the CLIP cannot be had.
    """

    classes: Tensor

    def __init__(
        self,
        names: Sequence[str],
        templates: Sequence[str],
        tau: float,
        model_type: str = "ViT-B-16",
        clip_type: str | None = "openai",
    ) -> None:
        super().__init__()
        check_tau(tau)
        self.clip, self.tau = TextCLIP(*load_model(model_type, clip_type, resnets=True)), tau
        self.register_buffer("classes", self.clip.embed(names, templates, unit=False), persistent=False)
        shown: Any = self.clip.model.visual.preprocess_cfg
        self.transform = image_transform_v2(PreprocessCfg(**shown), is_train=False)
        self.known: dict[str, Tensor] = {}

    @torch.no_grad()
    def forward(self, files: Sequence[str]) -> Tensor:
        """Weights (N, C) of image files, as they are on disk; each file is looked at once."""
        new = [file for file in dict.fromkeys(files) if file not in self.known]
        if new:
            with torch.autocast(self.classes.device.type, enabled=False):
                images = torch.stack([self._read(file) for file in new]).to(self.classes.device)
                found = weigh(self.clip.model.encode_image(images), self.classes, self.tau)
            self.known.update(zip(new, found, strict=True))
        return torch.stack([self.known[file] for file in files])

    def _read(self, file: str) -> Tensor:
        with Image.open(file) as image:
            return self.transform(image.convert("RGB"))


def check_tau(tau: float) -> None:
    """Refuse a temperature that is not above 0."""
    if not tau > 0:
        raise ValueError(f"Expected class_weight.tau above 0, but got {tau}; class_weight=None is off")


def files_of(samples: Sequence[Any] | None) -> list[str]:
    """The image files of samples; ValueError where they do not say them."""
    files = [sample.metainfo.get("img_path") for sample in samples or ()]
    if not files or None in files:
        raise ValueError("class_weight looks at the image files, so that every sample must have its img_path")
    return files
