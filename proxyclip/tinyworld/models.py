"""Tiny models: an open_clip CLIP and timm ViTs, training passes, storage.

Both are plain open_clip / timm architectures, stored as `local-dir:` folders that those libraries load themselves.
The forward passes are written with matrix products: fused attention is slow backward in bfloat16 on a CPU.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from safetensors.torch import save_file
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models.vision_transformer import Block
from torch import Tensor
from torchvision.transforms.functional import normalize

from proxyclip.utils.io import replace_file

TINY_CLIP_CONFIG: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 96, "patch_size": 16, "layers": 4, "width": 160, "head_width": 32},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 48, "heads": 3, "layers": 2},
}
TINY_VFM_CONFIG: dict[str, Any] = {
    "img_size": 96, "patch_size": 4, "embed_dim": 96, "depth": 4, "num_heads": 3, "num_classes": 0,
    "pos_embed": "none", "dynamic_img_size": True,
}  # fmt: skip
build_tiny_vfm = partial(timm.models.VisionTransformer, **TINY_VFM_CONFIG)


def apply_attention(attention: Any, x: Tensor, queries: int | None = None, mask: Tensor | None = None) -> Tensor:
    """Apply nn.MultiheadAttention as plain products, x (B, N, C) -> (B, Q, C).

    Q is the first `queries` tokens, or all.
    """
    q, k, v = torch.nn.functional.linear(x, attention.in_proj_weight, attention.in_proj_bias).chunk(3, -1)
    q, k, v = (t.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for t in (q[:, :queries], k, v))
    scores = (q * q.shape[-1] ** -0.5) @ k.mT
    weights = (scores if mask is None else scores + mask).softmax(-1)
    return attention.out_proj((weights @ v).transpose(1, 2).flatten(2))


def encode_image(clip: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    """Encode RGB in [0, 1] (B, 3, H, W) to two class embeddings (B, d).

    The first is the ordinary one; the second leaves out the residual and the MLP of the last block, as MaskCLIP and
    ProxyCLIP do for patches.
    """
    visual = clip.visual
    x = visual.conv1(normalize(images, OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)).flatten(2).mT
    x = torch.cat([visual.class_embedding.expand(len(x), 1, -1).to(x.dtype), x], 1)
    x = visual.ln_pre(x + visual.positional_embedding)
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        x = x + apply_attention(block.attn, block.ln_1(x))
        x = x + block.mlp(block.ln_2(x))
    attended = apply_attention(last.attn, last.ln_1(x), queries=1)[:, 0]
    whole = x[:, 0] + attended
    whole = whole + last.mlp(last.ln_2(whole))
    return visual.ln_post(whole) @ visual.proj, visual.ln_post(attended) @ visual.proj


def encode_text(clip: Any, tokens: Tensor) -> Tensor:
    """Encode ids (B, L) to (B, d); common padding is cut, since the tower is causal."""
    tokens = tokens[:, : int((tokens != 0).sum(1).max())]
    length = tokens.shape[1]
    x = clip.token_embedding(tokens) + clip.positional_embedding[:length]
    for block in clip.transformer.resblocks:
        x = x + apply_attention(block.attn, block.ln_1(x), mask=clip.attn_mask[:length, :length])
        x = x + block.mlp(block.ln_2(x))
    return clip.ln_final(x)[torch.arange(len(x)), tokens.argmax(1)] @ clip.text_projection


def encode_patches(vfm: Any, images: Tensor, kept: Tensor | None = None) -> Tensor:
    """Encode RGB in [0, 1] (B, 3, H, W) to normed patch tokens (B, N, D), row by row.

    With `kept` (B, K), numbers of patches, the model gets these patches only -> (B, K, D).
    """
    for block in vfm.blocks:
        block.attn.fused_attn = False
    x = vfm.patch_embed(normalize(images, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)).flatten(1, 2)
    if kept is not None:
        x = x.take_along_dim(kept[..., None], 1)
    x = torch.cat([vfm.cls_token.expand(len(x), -1, -1).to(x.dtype), x], 1)
    return vfm.norm(vfm.blocks(x))[:, vfm.num_prefix_tokens :]


def sine_positions(h: int, w: int, width: int) -> Tensor:
    """Fixed positions (h*w, width): sines and cosines of the row, then of the column."""
    rates = 10000 ** (-torch.arange(width // 4) / (width // 4))
    y, x = (torch.arange(n)[:, None] * rates for n in (h, w))
    rows, columns = (torch.cat([t.sin(), t.cos()], 1) for t in (y, x))
    return torch.cat([rows[:, None].expand(-1, w, -1), columns[None].expand(h, -1, -1)], 2).flatten(0, 1)


class MAEDecoder(torch.nn.Module):
    """Decoder of the masked autoencoder, for training only."""

    def __init__(self, width: int = 64, depth: int = 2, heads: int = 2) -> None:
        super().__init__()
        self.enter = torch.nn.Linear(TINY_VFM_CONFIG["embed_dim"], width)
        self.mask = torch.nn.Parameter(torch.zeros(width))
        blocks: list[Any] = [Block(width, heads, qkv_bias=True) for _ in range(depth)]
        self.leave = torch.nn.Sequential(
            torch.nn.LayerNorm(width), torch.nn.Linear(width, 3 * TINY_VFM_CONFIG["patch_size"] ** 2)
        )
        for block in blocks:
            block.attn.fused_attn = False
        self.blocks = torch.nn.Sequential(*blocks)

    def forward(self, seen: Tensor, kept: Tensor, grid: tuple[int, int]) -> Tensor:
        """Predict the pixels of all patches, (B, h*w, 3 * patch * patch).

        Args:
            seen: tokens (B, K, D) of the patches `kept` (B, K).
            grid: (h, w) of all patches.
        """
        x = self.mask.expand(len(seen), grid[0] * grid[1], -1)
        x = x.scatter(1, kept[..., None].expand(-1, -1, x.shape[-1]), self.enter(seen).to(x.dtype))
        return self.leave(self.blocks(x + sine_positions(*grid, x.shape[-1]).to(x)))


def _save_model_folder(folder: str | Path, weights: str, config: tuple[str, dict], state: dict[str, Tensor]) -> None:
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().half().contiguous() for name, tensor in state.items()}
    replace_file(folder / weights, lambda path: save_file(state, path, metadata={"format": "pt"}))
    replace_file(folder / config[0], lambda path: path.write_text(json.dumps(config[1], indent=2) + "\n"))


def save_clip(clip: Any, folder: str | Path) -> None:
    """Store a CLIP as an open_clip `local-dir:` folder, fp16."""
    look = {"mean": OPENAI_DATASET_MEAN, "std": OPENAI_DATASET_STD, "interpolation": "bicubic"}
    config = {"model_cfg": TINY_CLIP_CONFIG, "preprocess_cfg": look}
    _save_model_folder(folder, "open_clip_model.safetensors", ("open_clip_config.json", config), clip.state_dict())


def save_vfm(vfm: Any, folder: str | Path) -> None:
    """Store a ViT as a timm `local-dir:` folder, fp16."""
    size = TINY_VFM_CONFIG["img_size"]
    look = {"input_size": [3, size, size], "mean": IMAGENET_DEFAULT_MEAN, "std": IMAGENET_DEFAULT_STD, "num_classes": 0}
    config = {"architecture": "vit_tiny_patch16_224", "num_classes": 0, "num_features": TINY_VFM_CONFIG["embed_dim"]}
    config |= {"pretrained_cfg": look, "model_args": TINY_VFM_CONFIG}
    _save_model_folder(folder, "model.safetensors", ("config.json", config), vfm.state_dict())
