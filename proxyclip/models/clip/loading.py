"""CLIP by name, hub, folder or file, through open_clip: the names, which towers fit, and where weights lie."""

from __future__ import annotations

import importlib.util
import pickle
import re
from pathlib import Path
from typing import Any

import open_clip
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model
from torch import nn

from proxyclip.models.weights import WeightsError, is_torchscript, load_weights_into, read_state_dict, short_reason
from proxyclip.utils.paths import find_existing_path
from proxyclip.utils.suggest import closest_matches

QUICK_GELU_FAMILIES = ("openai", "metaclip", "dfn")
# What is used for a name alone where OpenAI published no weights.
DEFAULT_TAGS = {
    "ViT-H-14": "laion2b_s32b_b79k",
    "ViT-g-14": "laion2b_s34b_b88k",
    "ViT-bigG-14": "laion2b_s39b_b160k",
}
# Part of the name of a timm tower -> why it cannot be opened; the first that fits.
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


def canonical_clip_name(model_type: str) -> str:
    """open_clip's own name of an architecture, spelled as OpenAI (`ViT-L/14@336px`) or open_clip does (`ViT-L-14-336`).

    Raises:
        ValueError: no such name; the message has close ones and says how to list all.
    """
    wanted = re.sub(r"@(\d+)(px)?$", r"-\1", model_type.replace("/", "-"))
    known = {name.lower(): name for name in open_clip.list_models()}
    if wanted.lower() in known:
        return known[wanted.lower()]
    close = closest_matches(wanted.lower(), (name.lower() for name in list_supported_clips()))
    hint = f"; close are {', '.join(known[name] for name in close)}" if close else ""
    if Path(model_type).expanduser().is_dir():
        hint = f"; for the folder of that name say 'local-dir:{model_type}'"
    raise ValueError(
        "Expected model_type to be a name of open_clip, 'hf-hub:<repository>' or 'local-dir:<folder>', but got "
        f'{model_type!r}{hint}. All: python -c "from proxyclip.models.clip.dense import supported; print(*supported())"'
    )


def list_supported_clips() -> list[str]:
    """open_clip's names of all architectures that `load_open_clip` opens."""
    return [
        name for name in open_clip.list_models() if unsupported_clip_reason(open_clip.get_model_config(name)) is None
    ]


def default_clip_tag(model_type: str) -> str | None:
    """The usual weights of an architecture: OpenAI's, else those most used; None where there are no usual ones."""
    try:
        name = canonical_clip_name(model_type)
    except ValueError:
        return None
    return "openai" if "openai" in list_pretrained_tags_by_model(name) else DEFAULT_TAGS.get(name)


def unsupported_clip_reason(config: dict[str, Any]) -> str | None:
    """Why the model of an open_clip `model_cfg` cannot be opened at its last block; None if it can."""
    vision, text = config.get("vision_cfg", {}), config.get("text_cfg", {})
    tower = vision.get("timm_model_name")
    if tower:
        return next(why for part, why in UNSUPPORTED_TIMM_TOWERS.items() if part in tower)
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


def get_clip_config(model_type: str) -> dict[str, Any]:
    """open_clip's `model_cfg` of a CLIP: `embed_dim`, `vision_cfg`, `text_cfg`; its weights are not touched.

    Raises:
        ValueError: an unknown name. FileNotFoundError: no such folder.
    """
    schema, _, where = model_type.partition(":")
    if schema == "local-dir":
        model_type = f"local-dir:{find_existing_path(where, 'folder of an open_clip model')}"
    config = open_clip.get_model_config(model_type if where else canonical_clip_name(model_type))
    if config is None:
        raise ValueError(f"Expected a CLIP that open_clip knows, but got {model_type!r}")
    return config


def has_resnet_tower(config: dict[str, Any]) -> bool:
    """Whether the image tower of an open_clip `model_cfg` is one of OpenAI's ResNets."""
    return isinstance(config.get("vision_cfg", {}).get("layers"), (list, tuple))


def load_open_clip(model_type: str, clip_type: str | None, resnets: bool = False) -> tuple[nn.Module, Any]:
    """An open_clip model with its weights and its tokenizer; arguments and errors are those of `clip.load_clip`.

    Args:
        resnets: whether a ResNet as image tower will do; it has no last attention block.
    """
    if ":" in model_type:
        return _load_folder_or_hub(model_type, clip_type, resnets)
    name = canonical_clip_name(model_type)
    check_clip_supported(name, resnets=resnets)
    tags = list_pretrained_tags_by_model(name)
    if not clip_type:
        listed = ", ".join(tags) or "open_clip has none for it"
        raise WeightsError(f"{name} needs weights: clip_type=<tag> ({listed}) or a file.")
    model = _load_tag(name, clip_type) if clip_type in tags else _load_file(name, clip_type, tags)
    return model, _load_tokenizer(name)


def check_clip_supported(name: str, config: dict[str, Any] | None = None, resnets: bool = False) -> None:
    """Refuse what cannot be used, before anything is downloaded.

    Args:
        config: its `model_cfg`, where open_clip does not know it by `name`.
        resnets: whether OpenAI's ResNets are let through.

    Raises:
        TypeError: another kind of model; the message has the reason. WeightsError: its tokenizer is not installed.
    """
    config = open_clip.get_model_config(name) if config is None else config
    why = None if resnets and has_resnet_tower(config) else unsupported_clip_reason(config)
    if why is not None:
        raise TypeError(f"Expected a CLIP with open_clip's own VisionTransformer, but got {name!r}: {why}")
    tokenizer = config.get("text_cfg", {}).get("hf_tokenizer_name")
    if tokenizer and importlib.util.find_spec("transformers") is None:
        raise WeightsError(
            f"{name} needs the tokenizer {tokenizer!r} of Hugging Face's transformers: pip install transformers"
        )


def _load_tokenizer(name: str) -> Any:
    try:
        return open_clip.get_tokenizer(name)
    except OSError as error:
        raise WeightsError(
            f"The tokenizer of {name} is not on this machine and could not be fetched ({short_reason(error)})."
        ) from error


def _load_folder_or_hub(model_type: str, clip_type: str | None, resnets: bool) -> tuple[nn.Module, Any]:
    schema, _, where = model_type.partition(":")
    if schema not in ("local-dir", "hf-hub"):
        raise ValueError(f"Expected 'hf-hub:<repository>' or 'local-dir:<folder>', but got {model_type!r}")
    if clip_type:
        raise ValueError(f"{model_type!r} brings its own weights: expected clip_type=None, but got {clip_type!r}")
    if schema == "local-dir":
        model_type = f"local-dir:{find_existing_path(where, 'folder of an open_clip model')}"
    try:
        check_clip_supported(model_type, open_clip.get_model_config(model_type), resnets)
        model = open_clip.create_model(model_type, require_pretrained=True)
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(
            f"The CLIP {model_type!r} cannot be loaded: {short_reason(error)}.\n"
            "  A folder needs open_clip_config.json and open_clip_model.safetensors (or open_clip_pytorch_model.bin)."
        ) from error
    return model, _load_tokenizer(model_type)


def _load_tag(name: str, tag: str) -> nn.Module:
    record: dict[str, Any] = get_pretrained_cfg(name, tag)
    try:
        return open_clip.create_model(
            name, pretrained=tag, force_quick_gelu=bool(record.get("quick_gelu")), require_pretrained=True
        )
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        repository = (record.get("hf_hub") or "").rstrip("/")
        source = f"https://huggingface.co/{repository}" if repository else record.get("url", "")
        fetch = f"python -m proxyclip weights fetch {name if tag == default_clip_tag(name) else f'{name},{tag}'}"
        raise WeightsError(
            f"The CLIP weights {tag!r} of {name} cannot be loaded; get them: {fetch}\n"
            f"  why:    {short_reason(error)}\n"
            f"  file:   open_clip_model.safetensors and open_clip_config.json of {source}\n"
            f"  get it: hf download {repository} --local-dir FOLDER   (on a machine with internet access)\n"
            "  use it: model_type='local-dir:FOLDER', clip_type=None"
        ) from error


def _load_file(name: str, file: str, tags: list[str]) -> nn.Module:
    try:
        path = find_existing_path(file, "weights file")
    except FileNotFoundError as error:
        raise ValueError(
            f"Expected clip_type to be a tag of {name} ({', '.join(tags)}) or a weights file, but got {file!r}"
        ) from error
    scripted = is_torchscript(path)
    options = dict(force_quick_gelu=True) if scripted else _options_by_name(name, path.name.lower(), tags)
    model = open_clip.create_model(name, load_weights=False, **options)
    if scripted:
        return _load_openai(model, path)
    return load_weights_into(model, path, drop=("input_resolution", "context_length", "vocab_size"))


def _options_by_name(name: str, file: str, tags: list[str]) -> dict[str, Any]:
    """Activation and normalisation of weights whose file name contains a tag of `name`, or else a known family."""
    tag = max((tag for tag in tags if tag in file), key=len, default=None)
    if tag is None:
        return dict(force_quick_gelu=any(family in file for family in QUICK_GELU_FAMILIES))
    record: dict[str, Any] = get_pretrained_cfg(name, tag)
    normalisation = {key: record[key] for key in ("mean", "std") if key in record}
    return dict(force_quick_gelu=bool(record.get("quick_gelu")), force_preprocess_cfg=normalisation)


def _load_openai(model: nn.Module, path: Path) -> nn.Module:
    """OpenAI's own archive: half precision, three extra scalars."""
    wanted = model.state_dict()
    state = {k: v.float() for k, v in read_state_dict(path).items() if k in wanted}
    if set(state) != set(wanted):
        raise WeightsError(f"{path} lacks {sorted(set(wanted) - set(state))[:3]}: is it of another architecture?")
    model.load_state_dict(state)
    return model
