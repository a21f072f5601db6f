"""The frozen CLIPs that guide a training or an evaluation, loaded when they are first needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from ..model import check_parity
from .class_weight import ClassWeight, check_tau, files_of
from .teacher import Teacher, build_teacher, scores

Spec = dict[str, Any]


class Guide:
    """The teacher, and the CLIP that weighs classes. No module, so that a model which holds it neither trains, nor
    stores, nor counts them.

    Args:
        teacher: arguments of `build_teacher`; class_weight: of `ClassWeight`, or None.
        parity: "paper", or "upstream" with the quirks of the published code.
        key_smoothing, prompt_denoising: thresholds of the refinements of its scores; 0 is off.
    """

    def __init__(
        self, teacher: Spec, class_weight: Spec | None, parity: str, key_smoothing: float, prompt_denoising: float
    ) -> None:
        check_parity(parity)
        if class_weight is not None:
            check_tau(class_weight.get("tau", 0))
        self.spec, self.weight_spec, self.parity = teacher, class_weight, parity
        self.refinement = dict(key_smoothing=key_smoothing, prompt_denoising=prompt_denoising)
        self.teacher: Teacher | None = None
        self.weights: ClassWeight | None = None

    def open(self, device: torch.device) -> Teacher:
        """The teacher, loaded when it is first asked for."""
        if self.teacher is None:
            self.teacher = build_teacher(**self.spec, parity=self.parity).to(device)
        return self.teacher

    def open_weights(self, names: Sequence[str], templates: Sequence[str], device: torch.device) -> None:
        """Load the CLIP that weighs classes, if there is to be one."""
        if self.weight_spec is not None and self.weights is None:
            self.weights = ClassWeight(names, templates, **self.weight_spec).to(device)

    def weigh(self, samples: Sequence[SegDataSample] | None) -> Tensor | None:
        """Weights of the classes for samples (N, C); None without class weight."""
        return None if self.weights is None else self.weights(files_of(samples))

    @torch.no_grad()
    def score(
        self,
        images: Tensor,
        shown: Any,
        text: Tensor,
        weights: Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """The teacher's scores (N, C, h, w) of text rows, refined.

        Args:
            images: (N, 3, H, W), normalised by `shown`, a data preprocessor. In the parity "upstream" the teacher takes
                them so; else they are normalised again as CLIP wants them.
            weights: factors of the classes (N, C); dtype: number format of the image tower.
        """
        features, keys = self.features(images, shown, dtype)
        with torch.autocast(images.device.type, enabled=False):  # bfloat16 is too coarse to tell cosines apart
            return scores(features, keys, text, weights=weights, parity=self.parity, **self.refinement)

    @torch.no_grad()
    def features(self, images: Tensor, shown: Any, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
        """The teacher's features (N, D, h, w), not normalised, and keys (N, h*w, E)."""
        teacher = self.open(images.device)
        if self.parity == "paper":
            images = teacher.clip.from_rgb((images * shown.std + shown.mean) / 255)
        return teacher(images if dtype is None else images.to(dtype))
