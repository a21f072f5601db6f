"""Loading of CLIPs through open_clip: names, supported towers, weights."""

import importlib.util
import pickle
from pathlib import Path
from typing import Any

import open_clip
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model
from torch import nn

from proxyclip.models.weights import WeightsError, short_reason
from proxyclip.models.weights.catalogue import normalize_clip_name
from proxyclip.models.weights.reading import is_torchscript, load_weights_into, read_state_dict
from proxyclip.utils.paths import find_existing_path
from proxyclip.utils.suggest import closest_matches

QUICK_GELU_FAMILIES = ("openai", "metaclip", "dfn")
# Tags for names without OpenAI weights.
DEFAULT_TAGS = {"ViT-H-14": "laion2b_s32b_b79k", "ViT-g-14": "laion2b_s34b_b88k", "ViT-bigG-14": "laion2b_s39b_b160k"}
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


def canonical_clip_name(model_type: str) -> str:
    """Return open_clip's name of an architecture.

    `model_type` is spelled as OpenAI (`ViT-L/14@336px`) or open_clip does (`ViT-L-14-336`).

    Raises:
        ValueError: unknown name; the message has close ones and the command that lists all.
    """
    name = normalize_clip_name(model_type)
    known = {known_name.lower(): known_name for known_name in open_clip.list_models()}
    if name.lower() in known:
        return known[name.lower()]
    close = closest_matches(name.lower(), (supported.lower() for supported in list_supported_clips()))
    hint = f"; close are {', '.join(known[match] for match in close)}" if close else ""
    if Path(model_type).expanduser().is_dir():
        hint = f"; for the folder of that name say 'local-dir:{model_type}'"
    raise ValueError(
        "Expected model_type to be a name of open_clip, 'hf-hub:<repository>' or 'local-dir:<folder>', but got "
        f'{model_type!r}{hint}. All: python -c "from proxyclip.models.clip.loading import list_supported_clips; '
        'print(*list_supported_clips())"'
    )


def list_supported_clips() -> list[str]:
    """List open_clip's names of all architectures that `load_clip` opens."""
    return [
        name for name in open_clip.list_models() if unsupported_clip_reason(open_clip.get_model_config(name)) is None
    ]


def default_clip_tag(model_type: str) -> str | None:
    """Return the default weights of an architecture, OpenAI's if any, or None."""
    try:
        name = canonical_clip_name(model_type)
    except ValueError:
        return None
    return "openai" if "openai" in list_pretrained_tags_by_model(name) else DEFAULT_TAGS.get(name)


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


def get_clip_config(model_type: str) -> dict[str, Any]:
    """Return open_clip's `model_cfg` of a CLIP, without its weights.

    Raises:
        ValueError: an unknown name. FileNotFoundError: no such folder.
    """
    name = _resolve_folder(model_type) if ":" in model_type else canonical_clip_name(model_type)
    config = open_clip.get_model_config(name)
    if config is None:
        raise ValueError(f"Expected a CLIP that open_clip knows, but got {model_type!r}")
    return config


def _resolve_folder(model_type: str) -> str:
    """Find the folder of a `local-dir:` name; other names stay."""
    if not model_type.startswith("local-dir:"):
        return model_type
    return f"local-dir:{find_existing_path(model_type.partition(':')[2], 'folder of an open_clip model')}"


def has_resnet_tower(config: dict[str, Any]) -> bool:
    """Return True if the image tower of a `model_cfg` is one of OpenAI's ResNets."""
    return isinstance(config.get("vision_cfg", {}).get("layers"), (list, tuple))


def load_open_clip(model_type: str, clip_type: str | None, resnets: bool = False) -> tuple[nn.Module, Any]:
    """Load an open_clip model with its weights, and its tokenizer.

    Arguments and errors are those of `proxyclip.models.clip.dense.load_clip`.

    Args:
        resnets: accept a ResNet as image tower; it has no last attention block.
    """
    if ":" in model_type:
        name, model = _load_folder_or_hub(model_type, clip_type, resnets)
    else:
        name = canonical_clip_name(model_type)
        check_clip_supported(name, resnets=resnets)
        tags = list_pretrained_tags_by_model(name)
        if not clip_type:
            tag_list = ", ".join(tags) or "open_clip has none for it"
            raise WeightsError(f"{name} needs weights: clip_type=<tag> ({tag_list}) or a file.")
        model = _load_tag(name, clip_type) if clip_type in tags else _load_file(name, clip_type, tags)
    try:
        return model, open_clip.get_tokenizer(name)
    except OSError as error:
        problem = f"is not on this machine and could not be fetched ({short_reason(error)})"
        raise WeightsError(f"The tokenizer of {name} {problem}.") from error


def check_clip_supported(name: str, config: dict[str, Any] | None = None, resnets: bool = False) -> None:
    """Refuse unsupported models before anything is downloaded.

    Args:
        config: its `model_cfg`, if open_clip does not know it by `name`.
        resnets: accept OpenAI's ResNets.

    Raises:
        TypeError: an unsupported model; the message has the reason. WeightsError: its tokenizer is not installed.
    """
    config = open_clip.get_model_config(name) if config is None else config
    reason = None if resnets and has_resnet_tower(config) else unsupported_clip_reason(config)
    if reason is not None:
        raise TypeError(f"Expected a CLIP with open_clip's own VisionTransformer, but got {name!r}: {reason}")
    tokenizer = config.get("text_cfg", {}).get("hf_tokenizer_name")
    if tokenizer and importlib.util.find_spec("transformers") is None:
        raise WeightsError(
            f"{name} needs the tokenizer {tokenizer!r} of Hugging Face's transformers: pip install transformers"
        )


def _load_folder_or_hub(model_type: str, clip_type: str | None, resnets: bool) -> tuple[str, nn.Module]:
    if not model_type.startswith(("local-dir:", "hf-hub:")):
        raise ValueError(f"Expected 'hf-hub:<repository>' or 'local-dir:<folder>', but got {model_type!r}")
    if clip_type:
        raise ValueError(f"{model_type!r} brings its own weights: expected clip_type=None, but got {clip_type!r}")
    model_type = _resolve_folder(model_type)
    try:
        check_clip_supported(model_type, open_clip.get_model_config(model_type), resnets)
        return model_type, open_clip.create_model(model_type, require_pretrained=True)
    except WeightsError:
        raise
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"The CLIP {model_type!r} cannot be loaded: {short_reason(error)}.\n"
            "  A folder needs open_clip_config.json and open_clip_model.safetensors (or open_clip_pytorch_model.bin)."
        ) from error


def _load_tag(name: str, tag: str) -> nn.Module:
    record: dict[str, Any] = get_pretrained_cfg(name, tag)
    quick_gelu = bool(record.get("quick_gelu"))
    try:
        return open_clip.create_model(name, pretrained=tag, force_quick_gelu=quick_gelu, require_pretrained=True)
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
    if is_torchscript(path):  # OpenAI's own archive: half precision, three extra scalars
        model = open_clip.create_model(name, load_weights=False, force_quick_gelu=True)
        expected = model.state_dict()
        state = {k: v.float() for k, v in read_state_dict(path).items() if k in expected}
        if set(state) != set(expected):
            raise WeightsError(f"{path} lacks {sorted(set(expected) - set(state))[:3]}: is it of another architecture?")
        model.load_state_dict(state)
        return model
    model = open_clip.create_model(name, load_weights=False, **_options_by_file_name(name, path.name.lower(), tags))
    return load_weights_into(model, path, drop=("input_resolution", "context_length", "vocab_size"))


def _options_by_file_name(name: str, file: str, tags: list[str]) -> dict[str, Any]:
    """Activation and normalization by the tag of `name`, or family, in a file name."""
    tag = max((tag for tag in tags if tag in file), key=len, default=None)
    if tag is None:
        return dict(force_quick_gelu=any(family in file for family in QUICK_GELU_FAMILIES))
    record: dict[str, Any] = get_pretrained_cfg(name, tag)
    normalization = {key: record[key] for key in ("mean", "std") if key in record}
    return dict(force_quick_gelu=bool(record.get("quick_gelu")), force_preprocess_cfg=normalization)
