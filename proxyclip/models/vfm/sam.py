"""SAM's image encoder, by the segment-anything package.

Kirillov et al., "Segment Anything" (arXiv 2304.02643).
"""

from pathlib import Path
from typing import Any, ClassVar

import torch.nn.functional as F
from segment_anything import sam_model_registry
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from proxyclip.models.vfm._timm import register_normalization
from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.catalogue import list_weights_entries
from proxyclip.models.weights.reading import load_weights_into
from proxyclip.utils.paths import find_existing_path

SAM_INPUT_SIDE = 1024


def _find_fetched_checkpoint(model: str) -> Path:
    """Checkpoint that `python -m proxyclip weights fetch` downloaded."""
    entry = next((entry for entry in list_weights_entries() if entry.name == f"sam-{model.removeprefix('vit_')}"), None)
    if entry is None or entry.place is None:
        fetch = f"python -m proxyclip weights fetch {entry.name}, or give it " if entry else ""
        raise WeightsError(
            f"SAM {model} is not on this machine: {fetch}checkpoint=<file>: sam_vit_b_01ec64.pth, sam_vit_l_0b3195.pth "
            "or sam_vit_h_4b8939.pth, from https://github.com/facebookresearch/segment-anything#model-checkpoints"
        )
    return entry.place


class SAM(nn.Module):
    """Neck output of SAM's image encoder on the window resized to 1024 x 1024.

    Args:
        model: key of segment_anything.sam_model_registry: vit_b, vit_l or vit_h.
        checkpoint: the official `sam_vit_*.pth`; default the one of `python -m proxyclip weights fetch sam-b`.

    Raises:
        WeightsError: no checkpoint, or one of another size. ValueError: unknown `model`.
    """

    patch = 16
    variants: ClassVar[dict[str, str]] = {"b": "vit_b", "l": "vit_l", "h": "vit_h"}
    mean: Tensor
    std: Tensor

    def __init__(self, model: str = "vit_b", checkpoint: str | None = None) -> None:
        super().__init__()
        if model not in sam_model_registry:
            raise ValueError(f"Expected a SAM model of {sorted(sam_model_registry)}, but got {model!r}")
        path = find_existing_path(checkpoint, "SAM checkpoint") if checkpoint else _find_fetched_checkpoint(model)
        sam: Any = load_weights_into(sam_model_registry[model](), path)
        self.encoder = sam.image_encoder.requires_grad_(False).eval()
        register_normalization(self, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)

    def forward(self, image: Tensor) -> Tensor:
        """RGB in [0, 1] (B, 3, H, W) -> (B, 256, 64, 64)."""
        normalized = (image - self.mean) / self.std
        return self.encoder(F.interpolate(normalized, size=(SAM_INPUT_SIDE, SAM_INPUT_SIDE), mode="bilinear"))
