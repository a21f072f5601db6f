"""Class weight: similarity of the whole image to each class, a factor of its dense scores.

A later addition to MaskCLIP's code: the softmax over classes of the similarity of CLIP's global image feature to the
text features.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor, nn

from proxyclip.models.clip.loading import load_open_clip
from proxyclip.models.clip.text import TextCLIP


def compute_class_weights(image: Tensor, classes: Tensor, tau: float) -> Tensor:
    """Compute softmax over classes of <image / |image|, class> / tau.

    Args:
        image: global features (N, D).
        classes: (C, D), means of unit text features, not made unit again.
        tau: temperature, above 0; 0.25 is used with the scores of a ResNet-50, 1 with those of a ViT-B/16.

    Returns:
        (N, C), rows sum to 1.
    """
    return (F.normalize(image.float(), dim=-1) @ classes.T / tau).softmax(-1)


class ClassWeight(nn.Module):
    """Weights of classes for image files, by a frozen CLIP with its own preprocessing.

    Args:
        names: of the classes; templates: that they are embedded over.
        tau: see `compute_class_weights`.
        model_type, clip_type: the CLIP; ViT-B/16 also where the dense scores are a ResNet's.

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
        self.clip = TextCLIP(*load_open_clip(model_type, clip_type, resnets=True))
        self.tau = tau
        self.register_buffer("classes", self.clip.embed(names, templates, unit=False), persistent=False)
        preprocess_cfg: Any = self.clip.model.visual.preprocess_cfg
        self.transform = image_transform_v2(PreprocessCfg(**preprocess_cfg), is_train=False)
        self.weights_by_file: dict[str, Tensor] = {}

    @torch.no_grad()
    def forward(self, files: Sequence[str]) -> Tensor:
        """Compute weights (N, C) of image files on disk; each file is read once."""
        new = [file for file in dict.fromkeys(files) if file not in self.weights_by_file]
        if new:
            with torch.autocast(self.classes.device.type, enabled=False):
                images = torch.stack([self._read(file) for file in new]).to(self.classes.device)
                weights = compute_class_weights(self.clip.model.encode_image(images), self.classes, self.tau)
            self.weights_by_file.update(zip(new, weights, strict=True))
        return torch.stack([self.weights_by_file[file] for file in files])

    def _read(self, file: str) -> Tensor:
        with Image.open(file) as image:
            return self.transform(image.convert("RGB"))


def check_tau(tau: float) -> None:
    """Refuse a temperature that is not above 0."""
    if not tau > 0:
        raise ValueError(f"Expected class_weight.tau above 0, but got {tau}; class_weight=None is off")
