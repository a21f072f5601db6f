"""SAM's image encoder, by the segment-anything package.

Kirillov et al., "Segment Anything" (arXiv 2304.02643).
"""

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch.nn.functional as F
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from proxyclip.models.vfm._timm import register_normalization
from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.catalogue import list_weights_entries
from proxyclip.models.weights.model_configs import check_model_size
from proxyclip.models.weights.reading import load_weights_into, read_network, read_tensors
from proxyclip.models.weights.transformers_form import (
    describe_transformers_model,
    find_transformers_weights,
    locate_transformers_folder,
    read_transformers_config,
)
from proxyclip.utils.paths import find_existing_path

SAM_INPUT_SIDE = 1024
SAM_WIDTHS = {768: "b", 1024: "l", 1280: "h"}
ENCODER_PREFIX = "image_encoder."


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


def _create_encoder(model: str, checkpoint: str | None) -> nn.Module:
    """Create SAM's image encoder with its weights."""
    folder = locate_transformers_folder(model) if ":" in model else None
    if folder is None and model.startswith(("hf-hub:", "local-dir:")):
        raise WeightsError(
            f"{model} is no SamModel of transformers, or cannot be had: python -m proxyclip weights fetch sam-b"
        )
    if folder is None and model not in sam_model_registry:
        raise ValueError(
            f"Expected a SAM model of {sorted(sam_model_registry)}, or local-dir:FOLDER of transformers' SamModel, but "
            f"got {model!r}"
        )
    path = find_existing_path(checkpoint, "SAM checkpoint") if checkpoint else None
    if folder is not None:
        config: Any = read_transformers_config(folder)
        if config.get("model_type") != "sam":
            form = f"is of transformers ({describe_transformers_model(config)})"
            raise WeightsError(f"{folder} {form}, which is no SAM: python -m proxyclip weights fetch sam-b")
        path = path or find_transformers_weights(folder)
        vision = config.get("vision_config") or {}
        tensors = read_tensors(path)
        check_model_size(lambda: _create_configured_encoder(vision), tensors, path)
        encoder = _create_configured_encoder(vision)
    else:
        path = path or _find_fetched_checkpoint(model)  # first: the model takes seconds
        tensors = read_tensors(path)
        sam: Any = sam_model_registry[model]()
        encoder = sam.image_encoder
    try:
        return load_weights_into(
            encoder, path, anchors=["image_encoder.patch_embed.proj.weight"], convert=_keep_encoder, tensors=tensors
        )
    except WeightsError as error:
        raise WeightsError(
            f"{error}{_suggest_size(path, model)}" if "does not fit" in str(error) else str(error)
        ) from error


def _keep_encoder(state: dict[str, Tensor]) -> dict[str, Tensor]:
    parts = {
        name.removeprefix(ENCODER_PREFIX): value for name, value in state.items() if name.startswith(ENCODER_PREFIX)
    }
    return parts or state  # a file of the encoder alone


def _suggest_size(path: Path, model: str) -> str:
    """Return ` It is of the size of ...` for a file of another size of SAM, else ""."""
    table = _keep_encoder(read_network(path, ["image_encoder.patch_embed.proj.weight"])).get("pos_embed")
    size = SAM_WIDTHS.get(table.shape[-1]) if table is not None else None
    return f" It is of the size of sam-{size}: --vfm sam-{size},{path}" if size and model != f"vit_{size}" else ""


def _create_configured_encoder(config: dict[str, Any]) -> nn.Module:
    """Create the encoder of the vision_config of transformers."""
    width = config.get("hidden_size", 768)
    side, patch = config.get("image_size", SAM_INPUT_SIDE), config.get("patch_size", 16)
    if (side, patch) != (SAM_INPUT_SIDE, 16):
        raise WeightsError(f"Expected a SAM for {SAM_INPUT_SIDE} pixels and patches of 16, but got {side} and {patch}")
    return ImageEncoderViT(
        img_size=side,
        patch_size=patch,
        embed_dim=width,
        depth=config.get("num_hidden_layers", 12),
        num_heads=config.get("num_attention_heads", 12),
        mlp_ratio=(config.get("mlp_dim", 4 * width) + 0.5) / width,
        out_chans=config.get("output_channels", 256),
        qkv_bias=config.get("qkv_bias", True),
        norm_layer=partial(nn.LayerNorm, eps=config.get("layer_norm_eps", 1e-6)),
        use_rel_pos=config.get("use_rel_pos", True),
        window_size=config.get("window_size", 14),
        global_attn_indexes=tuple(config.get("global_attn_indexes", (2, 5, 8, 11))),
    )


class SAM(nn.Module):
    """Neck output of SAM's image encoder on the window resized to 1024 x 1024.

    Args:
        model: key of segment_anything.sam_model_registry: vit_b, vit_l or vit_h; or `local-dir:<folder>` or
            `hf-hub:<repository>` of a SamModel of transformers.
        checkpoint: the official `sam_vit_*.pth`, or a file with the tensors of one or of transformers; default the one
            of `python -m proxyclip weights fetch sam-b`.

    Raises:
        WeightsError: no checkpoint, or one of another size. ValueError: unknown `model`.
    """

    patch = 16
    variants: ClassVar[dict[str, str]] = {"b": "vit_b", "l": "vit_l", "h": "vit_h"}
    mean: Tensor
    std: Tensor

    def __init__(self, model: str = "vit_b", checkpoint: str | None = None) -> None:
        super().__init__()
        self.encoder = _create_encoder(model, checkpoint).requires_grad_(False).eval()
        register_normalization(self, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)

    def forward(self, image: Tensor) -> Tensor:
        """RGB in [0, 1] (B, 3, H, W) -> (B, 256, 64, 64)."""
        normalized = (image - self.mean) / self.std
        return self.encoder(F.interpolate(normalized, size=(SAM_INPUT_SIDE, SAM_INPUT_SIDE), mode="bilinear"))
