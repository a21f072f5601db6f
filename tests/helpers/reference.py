"""Reference arrays of the published code on tiny random models, and those models in the hub's own layouts.

tests/golden holds a thinned copy (`name__everyK` = flattened array, every K-th element). Where the full arrays lie in
the folder $PROXYCLIP_GOLDEN or in ../shared/golden, they are used instead. `name__subK` = array[..., K//2::K, K//2::K].
"""

import functools
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

HERE = Path(__file__).parents[1] / "golden"
TOKEN_TABLE_SHA256 = "d260b9fe6aae6c635b17864e16ecfaaf79df1bfd5cbea588c0b55111551a9dd0"
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def folder() -> Path:
    """Return the folder of the arrays: the full set if it is there, else the thinned copy."""
    full = Path(os.environ.get("PROXYCLIP_GOLDEN") or HERE.parents[2] / "shared" / "golden")
    return full if (full / "text.npz").is_file() else HERE


@functools.cache
def arrays(name: str) -> dict[str, np.ndarray]:
    if name == "images" and folder() == HERE:  # PNG is smaller
        return {path.stem: np.asarray(Image.open(path)) for path in (HERE / "images").glob("*.png")}
    with np.load(folder() / f"{name}.npz") as file:
        return {k: file[k] for k in file.files}


def image(name: str) -> torch.Tensor:
    """CLIP-normalised network input (1, 3, H, W) of a reference image."""
    x = arrays("images")[name].astype(np.float32) / np.float32(255)
    return torch.from_numpy(np.ascontiguousarray(((x - MEAN) / STD).transpose(2, 0, 1))[None])


def differences(got: torch.Tensor | np.ndarray, file: str, name: str) -> np.ndarray:
    """|got - reference|, flat, of array `name` or `name__subK` of a file; `got` is always the full array."""
    got = np.asarray(got)
    stored = arrays(file)
    key, every = name, 1
    if key not in stored:
        key = next(k for k in stored if k.startswith(name + "__every"))
        every = int(key.rpartition("__every")[2])
    if "__sub" in name:
        k = int(name.rpartition("__sub")[2])
        got = got[..., k // 2 :: k, k // 2 :: k]
    want = stored[key]
    flat = got.ravel()[::every]
    assert flat.shape == want.ravel().shape, f"{file}/{name}: got {got.shape}, reference {want.shape} (every {every})"
    return np.abs(flat.astype(np.float64) - want.ravel().astype(np.float64))


def check(got: torch.Tensor | np.ndarray, file: str, name: str, tol: float, share: float = 1.0, bound: float = 0.0):
    """Assert that at least `share` of the elements are within `tol`, and all within `bound` (default `tol`)."""
    error = differences(got, file, name)
    within = (error <= tol).mean()
    message = f"{file}/{name}: max {error.max():.2e}, {100 * within:.2f} % within {tol:.0e}"
    assert within >= share, message
    assert error.max() <= (bound or tol), message


def tensors(name: str) -> dict[str, torch.Tensor]:
    """Float32 weights of clip_tiny, dino_tiny, mae_tiny or sam_tiny."""
    with np.load(HERE / "weights" / f"{name}.npz") as file:
        state = {k: torch.from_numpy(file[k].astype(np.float32)) for k in file.files}
    if name == "clip_tiny":
        state["token_embedding.weight"] = torch.from_numpy(_token_table())
    return state


def _token_table(vocabulary: int = 49408, width: int = 64) -> np.ndarray:
    """The tiny CLIP's token embedding: a 32-bit integer hash of the flat index."""
    mask = np.uint64(0xFFFFFFFF)
    x = np.arange(vocabulary * width, dtype=np.uint64).reshape(vocabulary, width)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = ((x ^ (x >> np.uint64(shift))) & mask) * np.uint64(factor) & mask
    x = (x ^ (x >> np.uint64(16))) & mask
    table = ((x >> np.uint64(24)).astype(np.float32) - np.float32(127.5)) / np.float32(256)
    assert hashlib.sha256(table.tobytes()).hexdigest() == TOKEN_TABLE_SHA256
    return table


def model_config() -> dict:
    return json.loads((HERE / "weights" / "clip-tiny.json").read_text())


def write_clip(where: Path) -> Path:
    """An open_clip `local-dir:` folder of the tiny CLIP."""
    where.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": model_config(), "preprocess_cfg": {}}
    (where / "open_clip_config.json").write_text(json.dumps(config))
    save_file(tensors("clip_tiny"), where / "open_clip_model.safetensors")
    return where


VITS = {
    "dino": ("vit_base_patch8_224", dict(patch_size=8, embed_dim=96, depth=3, num_heads=3)),
    "mae": ("vit_base_patch16_224", dict(patch_size=16, embed_dim=64, depth=2, num_heads=2)),
}


def write_vit(where: Path, name: str) -> Path:
    """A timm `local-dir:` folder of the tiny DINO or MAE."""
    where.mkdir(parents=True, exist_ok=True)
    architecture, arguments = VITS[name]
    config = {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": arguments["embed_dim"],
        "model_args": arguments,
        "pretrained_cfg": {"input_size": [3, 224, 224], "num_classes": 0, "first_conv": "patch_embed.proj"},
    }
    (where / "config.json").write_text(json.dumps(config))
    save_file(tensors(f"{name}_tiny"), where / "model.safetensors")
    return where


def tiny_sam():
    """segment_anything's own Sam around the tiny image encoder, randomly initialised."""
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


def write_sam(path: Path) -> Path:
    """A `sam_vit_*.pth` of the tiny SAM: whole model, image encoder from the reference weights."""
    sam = tiny_sam()
    sam.image_encoder.load_state_dict(
        {k: v.reshape(sam.image_encoder.state_dict()[k].shape) for k, v in tensors("sam_tiny").items()}
    )
    torch.save(sam.state_dict(), path)
    return path
