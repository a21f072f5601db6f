"""CLIPs in the form of Hugging Face's transformers, loaded into open_clip's model."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import open_clip
from open_clip.model import set_model_preprocess_cfg
from open_clip.tokenizer import SimpleTokenizer
from torch import nn

from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.json_files import read_json_object
from proxyclip.models.weights.model_configs import check_model_size
from proxyclip.models.weights.reading import load_tensors_into, read_tensors, select_network
from proxyclip.models.weights.transformers_form import (
    describe_transformers_model,
    find_transformers_weights,
    locate_transformers_folder,
    read_transformers_config,
)

ACTIVATION_OPTIONS: dict[str, dict[str, Any]] = {"quick_gelu": {"quick_gelu": True}, "gelu": {}}
# Values that transformers leaves out of a config, of the vision and the text tower.
VISION_DEFAULTS = dict(
    hidden_size=768, num_hidden_layers=12, num_attention_heads=12, patch_size=32, image_size=224,
    intermediate_size=3072, hidden_act="quick_gelu", layer_norm_eps=1e-5
)  # fmt: skip
TEXT_DEFAULTS = dict(
    hidden_size=512, num_hidden_layers=12, num_attention_heads=8, intermediate_size=2048, vocab_size=49408,
    max_position_embeddings=77, hidden_act="quick_gelu", layer_norm_eps=1e-5
)  # fmt: skip


def find_transformers_clip(model_type: str) -> tuple[Path, dict[str, Any]] | None:
    """Find the folder and the config of a CLIP of transformers; None for a folder or repository of open_clip.

    Args:
        model_type: `local-dir:FOLDER` or `hf-hub:REPOSITORY`.
    """
    if model_type.startswith("hf-hub:") and _has_open_clip_config(model_type.removeprefix("hf-hub:")):
        return None
    folder = locate_transformers_folder(model_type)
    if folder is None or (model_type.startswith("local-dir:") and _is_open_clip_folder(folder)):
        return None
    config = read_transformers_config(folder)
    return (folder, config) if config is not None else None


def _is_open_clip_folder(folder: Path) -> bool:
    """Return True if open_clip's config is there, and weights of its own, or none of transformers."""
    has_own_weights = any(folder.glob("open_clip_*.safetensors")) or any(folder.glob("open_clip_*.bin"))
    has_others = any(folder.glob("model*.safetensors")) or any(folder.glob("pytorch_model*.bin"))
    return (folder / "open_clip_config.json").is_file() and (has_own_weights or not has_others)


def _has_open_clip_config(repository: str) -> bool:
    from huggingface_hub import hf_hub_download

    with suppress(Exception):  # of the hub's client, or of the HTTP library that its version uses
        return bool(hf_hub_download(repository, "open_clip_config.json"))
    return False


def make_open_clip_config(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Make open_clip's `model_cfg` of a config of transformers.

    Raises:
        WeightsError: it is no CLIP with both towers, or one that open_clip cannot build.
    """
    form = f"{folder} is of transformers ({describe_transformers_model(config)})"
    remedy = "open_clip's form is needed: python -m proxyclip weights fetch ViT-B-16"
    if config.get("model_type") != "clip":
        raise WeightsError(f"{form}, which is no CLIP; {remedy}")
    if config.get("architectures") and not any(name.startswith("CLIPModel") for name in config["architectures"]):
        raise WeightsError(f"{form}, which lacks a tower of CLIPModel; {remedy}")
    vision = {**VISION_DEFAULTS, **(config.get("vision_config_dict") or {}), **(config.get("vision_config") or {})}
    text = {**TEXT_DEFAULTS, **(config.get("text_config_dict") or {}), **(config.get("text_config") or {})}
    activations = {vision["hidden_act"], text["hidden_act"]}
    if len(activations) != 1 or not activations <= set(ACTIVATION_OPTIONS):
        raise WeightsError(f"{form} with hidden_act {', '.join(sorted(activations))}; {remedy}")
    width, heads = vision["hidden_size"], vision["num_attention_heads"]
    return dict(
        embed_dim=config.get("projection_dim", 512),
        **ACTIVATION_OPTIONS[activations.pop()],
        vision_cfg=dict(
            image_size=vision["image_size"],
            patch_size=vision["patch_size"],
            layers=vision["num_hidden_layers"],
            width=width,
            head_width=width // heads,
            mlp_ratio=(vision["intermediate_size"] + 0.5) / width,
            norm_kwargs=dict(eps=vision["layer_norm_eps"]),
        ),
        text_cfg=dict(
            context_length=text["max_position_embeddings"],
            vocab_size=text["vocab_size"],
            layers=text["num_hidden_layers"],
            width=text["hidden_size"],
            heads=text["num_attention_heads"],
            mlp_ratio=(text["intermediate_size"] + 0.5) / text["hidden_size"],
            norm_kwargs=dict(eps=text["layer_norm_eps"]),
        ),
    )


def load_transformers_clip(folder: Path, config: Mapping[str, Any]) -> tuple[nn.Module, Any]:
    """Load a CLIPModel of transformers into open_clip's CLIP, and make its tokenizer.

    Raises:
        WeightsError: no CLIP, or weights that are missing, damaged, or do not fit the config.
    """
    model_config = make_open_clip_config(folder, config)
    path = find_transformers_weights(folder)
    tensors = read_tensors(path)
    check_model_size(lambda: open_clip.CLIP(**model_config), tensors, path)
    model = open_clip.CLIP(**model_config)
    load_tensors_into(model, select_network(tensors, (), path), str(path))
    set_model_preprocess_cfg(model, {**read_transformers_normalization(folder), "size": model.visual.image_size})
    return model, SimpleTokenizer(context_length=model_config["text_cfg"]["context_length"])


def read_transformers_normalization(folder: Path) -> dict[str, tuple[float, ...]]:
    """Read mean and standard deviation of preprocessor_config.json; OpenAI's without it."""
    normalization = dict(mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD)
    with suppress(OSError, ValueError, KeyError, TypeError):
        record = read_json_object(folder / "preprocessor_config.json", "a config of a preprocessor")
        normalization = dict(mean=tuple(record["image_mean"]), std=tuple(record["image_std"]))
    return normalization
