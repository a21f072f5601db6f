"""CLIPs that can be opened, by open_clip's configs; neither torch nor open_clip is imported."""

import ast
import importlib.util
import json
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from proxyclip.models.weights.catalogue import explain_other_kind, normalize_clip_name
from proxyclip.utils.paths import path_exists
from proxyclip.utils.suggest import closest_match, closest_matches

# Part of the name of a timm tower -> reason that it cannot be opened; the first match counts.
UNSUPPORTED_TIMM_TOWERS = {
    "siglip": "SigLIP has no class token and pools its patches by attention, so that no patch passes a projection "
    "shared with the texts",
    "eva": "EVA's tower is timm's, with an attention of its own (EVA02: rotary positions in every block)",
    "pe_core": "PE-Core's tower is timm's, with rotary positions in every block and attention pooling",
    "vitamin": "ViTamin's tower is timm's, with stages of convolutions and no class token",
    "convnext": "a ConvNeXt consists of convolutions and has no last attention block",
    "fastvit": "this MobileCLIP's tower is FastViT, mostly convolutions, which has no class token",
    "mci": "this MobileCLIP's tower is timm's, with a stem of convolutions in place of patches",
    "swin": "a Swin transformer attends within shifted windows and has no class token",
    "": "its image tower is timm's, whose blocks have another attention module",
}
CUSTOM_ATTENTION_KEYS = ("qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc")


def unsupported_clip_reason(config: dict[str, Any]) -> str | None:
    """Return the reason an open_clip config is unsupported, or None."""
    vision = config.get("vision_cfg", {})
    text = config.get("text_cfg", {})
    tower = vision.get("timm_model_name")
    if tower:
        return next(reason for part, reason in UNSUPPORTED_TIMM_TOWERS.items() if part in tower)
    if has_resnet_tower(config):
        return "a ResNet consists of convolutions and has no last attention block"
    if "multimodal_cfg" in config or text.get("embed_cls"):
        return "CoCa compares texts with what an attentional pooler makes of the patches, not with patches"
    if vision.get("attentional_pool") or vision.get("pool_type", "tok") not in ("tok", "avg"):
        return "texts are compared with what a pooler makes of the patches, not with patches"
    if "hf_model_name" in text:
        return f"its text tower is {text['hf_model_name']} of Hugging Face's transformers, not open_clip's own"
    custom = [key for key in CUSTOM_ATTENTION_KEYS if vision.get(key)]
    if custom or vision.get("block_type") == "custom":
        return f"its blocks ({', '.join(custom) or 'block_type custom'}) have another attention module"
    if isinstance(vision.get("patch_size"), (list, tuple)):
        return "its patches are not square"
    return None


def has_resnet_tower(config: dict[str, Any]) -> bool:
    """Return True if the image tower of a `model_cfg` is one of OpenAI's ResNets."""
    vision, text = config.get("vision_cfg", {}), config.get("text_cfg", {})
    is_own = "timm_model_name" not in vision and "hf_model_name" not in text and "multimodal_cfg" not in config
    return is_own and isinstance(vision.get("layers"), (list, tuple))


@cache
def read_open_clip_configs() -> dict[str, dict[str, Any]]:
    """Read the configs of all architectures that open_clip brings, by name; empty where it is not installed."""
    spec = importlib.util.find_spec("open_clip")
    folders = [Path(place) / "model_configs" for place in (spec and spec.submodule_search_locations) or ()]
    configs = {path.stem: json.loads(path.read_text("utf-8")) for folder in folders for path in folder.glob("*.json")}
    return {name: config for name, config in configs.items() if {"embed_dim", "vision_cfg", "text_cfg"} <= set(config)}


def find_fitting_clips(width: int, patch: int, tokens: int, space: int) -> list[str]:
    """List the architectures that can be opened whose image tower has these sizes.

    Args:
        width: of the tower. patch: pixels a side. tokens: class token and patches. space: width of the features.
    """
    names = []
    for name, config in read_open_clip_configs().items():
        vision = config["vision_cfg"]
        side = vision.get("image_size", 224)
        sizes = (vision.get("width", 768), vision.get("patch_size", 16), config["embed_dim"])
        if unsupported_clip_reason(config) is None and isinstance(side, int) and sizes == (width, patch, space):
            names += [name] if 1 + (side // patch) ** 2 == tokens else []
    return sorted(names, key=len)


def format_unknown_clip(model_type: str, supported: Iterable[str]) -> str:
    """Format the error of a name that is none of open_clip's.

    Args:
        supported: names of the architectures that can be opened.
    """
    by_lower_case = {name.lower(): name for name in supported}
    close = closest_matches(normalize_clip_name(model_type).lower(), by_lower_case)
    hint = f"; close are {', '.join(by_lower_case[match] for match in close)}" if close else ""
    if path_exists(model_type) and Path(model_type).expanduser().is_dir():
        hint = f"; for the folder of that name say 'local-dir:{model_type}'"
    other_kind = explain_other_kind(model_type, "clip")
    if other_kind:
        hint = f": {other_kind}"
    return (
        "Expected model_type to be a name of open_clip, 'hf-hub:<repository>' or 'local-dir:<folder>', but got "
        f'{model_type!r}{hint}. All: python -c "from proxyclip.models.clip.loading import list_supported_clips; '
        'print(*list_supported_clips())"'
    )


def format_unknown_tag(name: str, tags: list[str], tag: str) -> str:
    """Format the error of a tag or file of weights that does not exist."""
    close = closest_match(tag, tags)
    hint = f". Did you mean {name},{close}?" if close else ""
    return f"Expected clip_type to be a tag of {name} ({', '.join(tags)}) or a weights file, but got {tag!r}{hint}"


@cache
def read_open_clip_tags() -> dict[str, list[str]]:
    """Read the tags of open_clip's architectures from its source, less derived ones; empty if it is unreadable."""
    tags: dict[str, list[str]] = {}
    with suppress(OSError, SyntaxError, ValueError, AttributeError):
        spec = importlib.util.find_spec("open_clip")
        folder = next(iter((spec and spec.submodule_search_locations) or ()), "")
        tables: dict[str, list[str]] = {}
        for node in ast.parse((Path(folder) / "pretrained.py").read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
                continue
            if isinstance(node.value, ast.Call):
                tables[node.targets[0].id] = _list_keywords(node.value)
            elif node.targets[0].id == "_PRETRAINED" and isinstance(node.value, ast.Dict):
                for key, value in zip(node.value.keys, node.value.values, strict=True):
                    listed = tables.get(value.id, []) if isinstance(value, ast.Name) else []
                    tags[ast.literal_eval(key or "")] = _list_keywords(value) if isinstance(value, ast.Call) else listed
    return tags


def _list_keywords(call: ast.Call) -> list[str]:
    return [keyword.arg for keyword in call.keywords if keyword.arg]
