"""The tiny random models of the reference arrays, in the layouts of the hubs."""

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from proxyclip.engine.parity.reference import GoldenSet

TOKEN_TABLE_SHA256 = "d260b9fe6aae6c635b17864e16ecfaaf79df1bfd5cbea588c0b55111551a9dd0"
CLIP_BLOCKS = "visual.transformer.resblocks."
# Name -> weights, timm's architecture, its arguments.
TINY_VITS: dict[str, tuple[str, str, dict[str, int]]] = {
    "dino": ("dino_tiny", "vit_base_patch8_224", dict(patch_size=8, embed_dim=96, depth=3, num_heads=3)),
    "dino16": (
        "dino_tiny", "vit_base_patch16_224", dict(patch_size=16, img_size=448, embed_dim=96, depth=3, num_heads=3)
    ),
    "mae": ("mae_tiny", "vit_base_patch16_224", dict(patch_size=16, embed_dim=64, depth=2, num_heads=2)),
}  # fmt: skip


def read_tiny_weights(golden: GoldenSet, name: str) -> dict[str, Tensor]:
    """Read the float32 weights of clip_tiny, dino_tiny, mae_tiny or sam_tiny."""
    state = {key: torch.from_numpy(value.astype(np.float32)) for key, value in golden.arrays(f"weights/{name}").items()}
    if name == "clip_tiny":
        state["token_embedding.weight"] = torch.from_numpy(compute_token_table())
    return state


def compute_token_table(vocabulary: int = 49408, width: int = 64) -> np.ndarray:
    """Compute the tiny CLIP's token embedding: a 32-bit integer hash of the flat index."""
    mask = np.uint64(0xFFFFFFFF)
    x = np.arange(vocabulary * width, dtype=np.uint64).reshape(vocabulary, width)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = ((x ^ (x >> np.uint64(shift))) & mask) * np.uint64(factor) & mask
    x = (x ^ (x >> np.uint64(16))) & mask
    table = ((x >> np.uint64(24)).astype(np.float32) - np.float32(127.5)) / np.float32(256)
    assert hashlib.sha256(table.tobytes()).hexdigest() == TOKEN_TABLE_SHA256
    return table


def read_tiny_clip_config(golden: GoldenSet) -> dict[str, Any]:
    """Read open_clip's `model_cfg` of the tiny CLIP."""
    return json.loads((golden.folder / "weights" / "clip-tiny.json").read_text(encoding="utf-8"))


def write_tiny_clip(golden: GoldenSet, folder: Path, depth: int = 3) -> Path:
    """Write the tiny CLIP as an open_clip folder, and return the folder.

    Args:
        depth: blocks of the image tower: the tiny CLIP's three, repeated in order (0, 1, 2, 0, 1, 2, ...).
    """
    config = read_tiny_clip_config(golden)
    config["vision_cfg"]["layers"] = depth
    return write_open_clip(folder, config, repeat_blocks(read_tiny_weights(golden, "clip_tiny"), depth))


def repeat_blocks(state: dict[str, Tensor], depth: int) -> dict[str, Tensor]:
    """Make the weights of an image tower of `depth` blocks from one of fewer, repeated in order."""
    tower = {key.removeprefix(CLIP_BLOCKS): value for key, value in state.items() if key.startswith(CLIP_BLOCKS)}
    count = 1 + max(int(key.partition(".")[0]) for key in tower)
    repeated = {key: value for key, value in state.items() if not key.startswith(CLIP_BLOCKS)}
    for key, value in tower.items():
        block, _, name = key.partition(".")
        repeated |= {f"{CLIP_BLOCKS}{i}.{name}": value.clone() for i in range(int(block), depth, count)}
    return repeated


def write_image_tower(folder: Path, config: dict[str, Any], tower: dict[str, Tensor]) -> Path:
    """Write an open_clip folder of an image tower, with a text tower of zeros; return the folder.

    Args:
        config: `model_cfg`.
        tower: weights of the image tower, named as in `visual`.

    Raises:
        ValueError: weights that the tower does not have.
    """
    from open_clip import CLIP

    state = {key: torch.zeros_like(value) for key, value in CLIP(**config).state_dict().items()}
    named = {f"visual.{key}": value.contiguous() for key, value in tower.items()}
    if not set(named) <= set(state):
        raise ValueError(f"Expected weights of the image tower, but got {sorted(set(named) - set(state))}")
    return write_open_clip(folder, config, state | named)


def write_open_clip(folder: Path, config: dict[str, Any], state: dict[str, Tensor]) -> Path:
    """Write weights and `model_cfg` as a folder for open_clip's `local-dir:`; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {"model_cfg": config, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(record), encoding="utf-8")
    save_file(state, folder / "open_clip_model.safetensors")
    return folder


def write_tiny_vit(golden: GoldenSet, folder: Path, name: str) -> Path:
    """Write a tiny VFM as a folder for timm's `local-dir:`, and return the folder.

    Args:
        name: a key of `TINY_VITS`; dino16 is dino with a patch of 16, each pixel of its kernels repeated 2 x 2 and
            divided by 4, and the same 28 x 28 positions.
    """
    weights, architecture, arguments = TINY_VITS[name]
    state = read_tiny_weights(golden, weights)
    if name == "dino16":
        kernels = state["patch_embed.proj.weight"]
        state["patch_embed.proj.weight"] = kernels.repeat_interleave(2, 2).repeat_interleave(2, 3) / 4
    side = arguments.get("img_size", 224)
    config = {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": arguments["embed_dim"],
        "model_args": arguments,
        "pretrained_cfg": {"input_size": [3, side, side], "num_classes": 0, "first_conv": "patch_embed.proj"},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(state, folder / "model.safetensors")
    return folder


def build_tiny_sam() -> Any:
    """Build segment_anything's own Sam around the tiny image encoder, randomly initialized."""
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    encoder = ImageEncoderViT(
        img_size=1024, patch_size=16, embed_dim=32, depth=2, num_heads=2, out_chans=32, window_size=14,
        global_attn_indexes=(1,), use_rel_pos=True, qkv_bias=True, mlp_ratio=4,
        norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6),
    )  # fmt: skip
    prompts = PromptEncoder(embed_dim=32, image_embedding_size=(64, 64), input_image_size=(1024, 1024), mask_in_chans=4)
    decoder = MaskDecoder(
        transformer_dim=32, transformer=TwoWayTransformer(depth=1, embedding_dim=32, num_heads=2, mlp_dim=32),
        num_multimask_outputs=3,
    )  # fmt: skip
    return Sam(encoder, prompts, decoder)


def write_tiny_sam(golden: GoldenSet, path: Path) -> Path:
    """Write a `sam_vit_*.pth` of the tiny SAM: whole model, image encoder from the reference weights."""
    sam = build_tiny_sam()
    expected = sam.image_encoder.state_dict()
    weights = read_tiny_weights(golden, "sam_tiny")
    sam.image_encoder.load_state_dict({key: value.reshape(expected[key].shape) for key, value in weights.items()})
    torch.save(sam.state_dict(), path)
    return path
