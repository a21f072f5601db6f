"""Weights in the form of Hugging Face's transformers: their config, and tensor names of the original releases.

DINO, DINOv2, DINOv3, MAE, SAM and CLIP were published by their authors under other names than transformers gives them,
and timm, segment_anything and open_clip read those of the authors.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.file_forms import list_shard_names
from proxyclip.models.weights.json_files import read_json_object
from proxyclip.models.weights.model_configs import check_config_numbers
from proxyclip.models.weights.nesting import select_subtree
from proxyclip.utils.paths import find_existing_path

TRANSFORMERS_WEIGHTS = (
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"
)  # fmt: skip
OTHER_WEIGHTS = ("tf_model.h5", "flax_model.msgpack", "model.onnx", "rust_model.ot")
# A name that each form has and no other; (.*) before it is a prefix such as `vit.`.
PLAIN_ANCHOR = "embeddings.patch_embeddings.projection.weight"  # ViT, DINO, DINOv2, MAE
DINOV3_ANCHOR = "embeddings.patch_embeddings.weight"
SAM_ANCHOR = "vision_encoder.patch_embed.projection.weight"
CLIP_ANCHOR = "vision_model.embeddings.patch_embedding.weight"
Patterns = tuple[tuple[str, str], ...]
VIT_PATTERNS: Patterns = (
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.mask_token$", "mask_token"),
    (r"^embeddings\.register_tokens$", "register_tokens"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^(encoder\.)?layers?\.", "blocks."),
    (r"\.attention\.attention\.(query|key|value)\.", r".attn.\1."),
    (r"\.attention\.q_proj\.", ".attn.query."),  # transformers 5
    (r"\.attention\.k_proj\.", ".attn.key."),
    (r"\.attention\.v_proj\.", ".attn.value."),
    (r"\.attention\.(output\.dense|o_proj)\.", ".attn.proj."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"(\d)\.output\.dense\.", r"\1.mlp.fc2."),
    (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
    (r"\.mlp\.weights_in\.", ".mlp.w12."),
    (r"\.mlp\.(weights_out|down_proj)\.", ".mlp.w3."),
    (r"^layernorm\.", "norm."),
)
DINOV3_PATTERNS: Patterns = (
    (r"^embeddings\.(cls_token|mask_token)$", r"\1"),
    (r"^embeddings\.register_tokens$", "storage_tokens"),
    (r"^embeddings\.patch_embeddings\.", "patch_embed.proj."),
    (r"^(model\.)?layer\.", "blocks."),
    (r"\.attention\.q_proj\.", ".attn.query."),
    (r"\.attention\.k_proj\.", ".attn.key."),
    (r"\.attention\.v_proj\.", ".attn.value."),
    (r"\.attention\.o_proj\.", ".attn.proj."),
    (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
)
DINOV3_PLAIN_MLP: Patterns = ((r"\.mlp\.up_proj\.", ".mlp.fc1."), (r"\.mlp\.down_proj\.", ".mlp.fc2."))
DINOV3_GATED_MLP: Patterns = (
    (r"\.mlp\.gate_proj\.", ".mlp.w1."), (r"\.mlp\.up_proj\.", ".mlp.w2."), (r"\.mlp\.down_proj\.", ".mlp.w3.")
)  # fmt: skip
SAM_PATTERNS: Patterns = (
    (r"^vision_encoder\.", "image_encoder."),
    (r"\.layers\.", ".blocks."),
    (r"\.patch_embed\.projection\.", ".patch_embed.proj."),
    (r"\.neck\.conv1\.", ".neck.0."),
    (r"\.neck\.layer_norm1\.", ".neck.1."),
    (r"\.neck\.conv2\.", ".neck.2."),
    (r"\.neck\.layer_norm2\.", ".neck.3."),
    (r"\.layer_norm([12])\.", r".norm\1."),
)
CLIP_PATTERNS: Patterns = (
    (r"^vision_model\.embeddings\.class_embedding$", "visual.class_embedding"),
    (r"^vision_model\.embeddings\.patch_embedding\.", "visual.conv1."),
    (r"^vision_model\.embeddings\.position_embedding\.weight$", "visual.positional_embedding"),
    (r"^vision_model\.pre_layrnorm\.", "visual.ln_pre."),  # transformers' own spelling
    (r"^vision_model\.post_layernorm\.", "visual.ln_post."),
    (r"^vision_model\.encoder\.layers\.", "visual.transformer.resblocks."),
    (r"^text_model\.embeddings\.token_embedding\.", "token_embedding."),
    (r"^text_model\.embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^text_model\.final_layer_norm\.", "ln_final."),
    (r"^text_model\.encoder\.layers\.", "transformer.resblocks."),
    (r"\.self_attn\.q_proj\.", ".attn.query."),
    (r"\.self_attn\.k_proj\.", ".attn.key."),
    (r"\.self_attn\.v_proj\.", ".attn.value."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    (r"\.layer_norm([12])\.", r".ln_\1."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
)
# Fixed tables and heads of these models, which no tower needs.
UNUSED_NAMES = re.compile(r"^(pooler|classifier|decoder)\.|(^|\.)(position_ids|inv_freq)$")


def read_transformers_config(folder: Path) -> dict[str, Any] | None:
    """Read the config.json of a folder that transformers wrote; None for another one, or without one.

    Raises:
        WeightsError: it is no JSON.
    """
    path = folder / "config.json"
    if not path.is_file():
        return None
    try:
        config = read_json_object(path, "a config of a model")
    except ValueError as error:
        raise WeightsError(f"{path} cannot be read as JSON ({error}); get it again.") from error
    check_config_numbers(config, path)
    is_transformers = bool(config.get("architectures") or config.get("model_type"))
    return config if is_transformers and "architecture" not in config else None  # timm's has `architecture`


def describe_transformers_model(config: Mapping[str, Any]) -> str:
    """Return the class of a config of transformers, such as ViTModel, else its model_type."""
    return ", ".join(config.get("architectures") or ()) or str(config.get("model_type"))


def find_transformers_weights(folder: Path) -> Path:
    """Find the weights file, or the index of several, in a folder of transformers.

    Raises:
        WeightsError: there is none.
    """
    path = next((folder / name for name in TRANSFORMERS_WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        others = [name for name in OTHER_WEIGHTS if (folder / name).is_file()]
        hint = f"; {', '.join(others)} is of another library" if others else ""
        expected = " or ".join(TRANSFORMERS_WEIGHTS)
        raise WeightsError(f"{folder} has a config.json of transformers, but no weights: expected {expected}{hint}.")
    return path


def convert_transformers_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a transformers model like those of its original release.

    Known are CLIP, ViT (DINO), DINOv2, DINOv3, ViT-MAE and SAM, with their prefixes and heads, which are dropped.

    Returns:
        The renamed tensors; tensors of any other form as they are.
    """
    names = tensors.keys()

    def has(anchor: str) -> bool:
        return any(name == anchor or name.endswith(f".{anchor}") for name in names)

    if has(CLIP_ANCHOR):
        return _convert_clip(tensors)
    if has(SAM_ANCHOR):
        return _rename(select_subtree(tensors, [SAM_ANCHOR])[0], SAM_PATTERNS)
    if has(PLAIN_ANCHOR):
        state = _stack(_rename(select_subtree(tensors, [PLAIN_ANCHOR])[0], VIT_PATTERNS), "qkv.")
        for name in [name for name in state if ".mlp.gate_proj." in name]:
            parts = [state.pop(name), state.pop(name.replace(".gate_proj.", ".up_proj."))]
            state[name.replace(".gate_proj.", ".w12.")] = torch.cat(parts)
        if any(name.endswith(".ls1.gamma") for name in state):  # Meta's DINOv2 always has one
            state.setdefault("mask_token", torch.zeros(1, state["cls_token"].shape[-1]))
        return state
    if has(DINOV3_ANCHOR):
        return _convert_dinov3(tensors)
    return dict(tensors)


def is_transformers_clip(tensors: Mapping[str, Tensor]) -> bool:
    """Return True for the tensors of a CLIPModel of transformers."""
    return any(name == CLIP_ANCHOR or name.endswith(f".{CLIP_ANCHOR}") for name in tensors)


def _convert_clip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    state = _stack(_rename(select_subtree(tensors, [CLIP_ANCHOR])[0], CLIP_PATTERNS), "in_proj_")
    for name, target in (("visual_projection.weight", "visual.proj"), ("text_projection.weight", "text_projection")):
        if name in state:
            state[target] = state.pop(name).T.contiguous()
    return state


def _convert_dinov3(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    selected, _ = select_subtree(tensors, [DINOV3_ANCHOR])
    is_gated = any(".mlp.gate_proj." in name for name in selected)
    state = _rename(selected, DINOV3_PATTERNS + (DINOV3_GATED_MLP if is_gated else DINOV3_PLAIN_MLP))
    for name in [name for name in state if name.endswith(".attn.query.bias")]:  # keys have no bias
        state.setdefault(name.replace(".query.", ".key."), torch.zeros_like(state[name]))
    state = _stack(state, "qkv.")
    state.setdefault("mask_token", torch.zeros(1, state["cls_token"].shape[-1]))
    return state


def _rename(tensors: Mapping[str, Tensor], patterns: Patterns) -> dict[str, Tensor]:
    state = {}
    for name, value in tensors.items():
        if UNUSED_NAMES.search(name):
            continue
        for pattern, target in patterns:
            name = re.sub(pattern, target, name)
        state[name] = value
    return state


def _stack(state: dict[str, Tensor], joint: str) -> dict[str, Tensor]:
    """Join `attn.query.`, `attn.key.` and `attn.value.` as `attn.<joint>`, weights and biases."""
    for name in [name for name in state if ".attn.query." in name]:
        parts = [name.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if all(part in state for part in parts):
            state[name.replace(".attn.query.", f".attn.{joint}")] = torch.cat([state.pop(part) for part in parts])
    return state


def locate_transformers_folder(name: str) -> Path | None:
    """Locate the folder of a transformers model, in the hub's cache too, downloaded if need be; None for another name.

    Args:
        name: `local-dir:FOLDER` or `hf-hub:REPOSITORY`.
    """
    scheme, _, place = name.partition(":")
    if scheme == "local-dir":
        folder = find_existing_path(place, "folder of a model")
        return folder if read_transformers_config(folder) is not None else None
    if scheme != "hf-hub":
        return None
    from huggingface_hub import hf_hub_download

    try:
        folder = Path(hf_hub_download(place, "config.json")).parent
        if read_transformers_config(folder) is None:
            return None
        _download_transformers_weights(place)
    except Exception:  # of the hub's client, or of the HTTP library that its version uses: the library that loads says
        return None
    return folder


def _download_transformers_weights(repository: str) -> None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    with suppress(EntryNotFoundError):
        hf_hub_download(repository, "preprocessor_config.json")
    for name in TRANSFORMERS_WEIGHTS:
        with suppress(EntryNotFoundError):
            path = Path(hf_hub_download(repository, name))
            if name.endswith(".index.json"):
                for shard in list_shard_names(read_json_object(path, "an index of weights")):
                    hf_hub_download(repository, shard)
            return
