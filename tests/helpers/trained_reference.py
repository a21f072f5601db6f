"""Tiny CLIPs of the reference as open_clip folders, and its arrays as tensors, for tests of trained methods."""

from pathlib import Path

import torch

from helpers.reference import arrays
from proxyclip.engine.parity.tiny_models import write_image_tower
from proxyclip.tinyworld import WEIGHTS

VIT, RESNET = "trained/maskclip_vit_e2e", "trained/maskclip_rn_e2e"
PROMPTED = "trained/cliprc_encoder"
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
OWN = ("w/region_tokens",)  # of CLIP-RC, as its prompts are
SMALL = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 3, "head_width": 8, "mlp_ratio": 4}
CONFIGS = {
    VIT: SMALL,
    PROMPTED: SMALL,
    RESNET: {"image_size": 64, "layers": [3, 4, 6, 3], "width": 8, "head_width": 32},
}
TINY = f"local-dir:{WEIGHTS / 'clip'}"


def tensors(name: str) -> dict[str, torch.Tensor]:
    """Load all arrays of a reference file."""
    return {k: torch.from_numpy(v) for k, v in arrays(name).items()}


def folder_of(root: Path, name: str) -> str:
    """Write the reference's image tower as an open_clip folder, with a text tower of zeros; return its name."""
    config = {"embed_dim": 16, "vision_cfg": CONFIGS[name], "text_cfg": TEXT, "quick_gelu": name == PROMPTED}
    tower = {k[2:]: v for k, v in tensors(name).items() if k.startswith("w/") and k not in OWN and "prompt" not in k}
    write_image_tower(root, config, tower)
    return f"local-dir:{root}"
