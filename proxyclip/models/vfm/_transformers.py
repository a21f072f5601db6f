"""VFMs from folders and repositories in the form of Hugging Face's transformers.

Their config.json says the architecture, which timm builds; the tensors get the names of the original release.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import timm
from timm.layers.mlp import SwiGLUPacked
from torch import Tensor, nn

from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.catalogue import list_weights_entries
from proxyclip.models.weights.json_files import read_json_object
from proxyclip.models.weights.model_configs import check_model_size
from proxyclip.models.weights.reading import load_weights_into, read_tensors
from proxyclip.models.weights.transformers_form import (
    describe_transformers_model,
    find_transformers_weights,
    locate_transformers_folder,
    read_transformers_config,
)

# model_type of a config -> family of the guide that has such weights.
TRANSFORMERS_FAMILIES = {
    "vit": "dino", "vit_mae": "mae", "dinov2": "dinov2", "dinov2_with_registers": "dinov2", "dinov3_vit": "dinov3",
    "sam": "sam"
}  # fmt: skip
ACTIVATIONS: dict[str, Callable[..., nn.Module]] = {
    "gelu": nn.GELU, "gelu_new": partial(nn.GELU, approximate="tanh"),
    "gelu_pytorch_tanh": partial(nn.GELU, approximate="tanh"), "silu": nn.SiLU, "swish": nn.SiLU, "relu": nn.ReLU
}  # fmt: skip
SIZE_LETTERS = {384: "s", 768: "b", 1024: "l", 1280: "h", 1536: "g"}  # by width
# Values that transformers leaves out of a config.
DEFAULTS: dict[str, Any] = dict(
    hidden_size=768, num_hidden_layers=12, num_attention_heads=12, image_size=224, hidden_act="gelu", qkv_bias=True
)


def create_transformers_vit(
    name: str, checkpoint: Path | None, family: str, convert: Callable[[dict[str, Tensor], Any], dict[str, Tensor]]
) -> Any:
    """Create a timm ViT with the weights of a transformers folder; None for a name that is none.

    Args:
        name: `local-dir:FOLDER` or `hf-hub:REPOSITORY`.
        checkpoint: another weights file in place of the folder's own.
        family: of the guide that asks.
        convert: from the names of the original release to those of the model.

    Raises:
        WeightsError: a form without a known mapping, of another family, or tensors that do not fit the config.
    """
    folder = locate_transformers_folder(name)
    config = read_transformers_config(folder) if folder else None
    if folder is None or config is None:
        return None
    _check_family(name, folder, config, family)
    values = {**DEFAULTS, **config}
    try:
        architecture, arguments = _make_timm_arguments(values)
        build = partial(timm.create_model, architecture, num_classes=0, dynamic_img_size=True, **arguments)
        path = checkpoint or find_transformers_weights(folder)
        tensors = read_tensors(path)
        check_model_size(build, tensors, path)
        vit = build()
        load_weights_into(vit, path, ("head.",), lambda state: convert(state, vit), tensors=tensors)
    except (ArithmeticError, AssertionError, KeyError, TypeError, ValueError, WeightsError) as error:
        raise WeightsError(f"{_explain_unknown_form(folder, config, family)}\n  why: {error}") from error
    _set_normalization(vit, folder)
    return vit


def _check_family(name: str, folder: Path, config: Mapping[str, Any], family: str) -> None:
    kind = str(config.get("model_type"))
    if kind == "vit" and family in ("dino", "mae", "tiny"):
        return
    own = TRANSFORMERS_FAMILIES.get(kind)
    if own == family:
        return
    if own is not None or kind == "clip":
        option = f"--vfm {own},{name}" if own else f"--clip {name}"
        kind_of_model = f"of the family {own}" if own else "a CLIP"
        raise WeightsError(
            f"{folder} is of transformers ({describe_transformers_model(config)}), which is {kind_of_model}: {option}"
        )
    raise WeightsError(_explain_unknown_form(folder, config, family))


def _explain_unknown_form(folder: Path, config: Mapping[str, Any], family: str) -> str:
    size = SIZE_LETTERS.get(config.get("hidden_size", 0), "")
    names = [entry.name for entry in list_weights_entries() if entry.kind == "vfm"]
    suffix = "-reg" if config.get("num_register_tokens") and family == "dinov2" else ""
    candidates = (f"{family}-{size}{config.get('patch_size')}", f"{family}-{size}{suffix}", family)
    fetch = next((name for name in candidates if name in names), None)
    fetch = fetch or next((name for name in names if name.startswith(f"{family}-")), "dino-s16")
    name = describe_transformers_model(config)
    return f"{folder} is of transformers ({name}); timm's form is needed: python -m proxyclip weights fetch {fetch}"


def _make_timm_arguments(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return timm's architecture and arguments of a config."""
    kind = config["model_type"]
    width = config["hidden_size"]
    arguments: dict[str, Any] = dict(
        embed_dim=width,
        depth=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        patch_size=config.get("patch_size", 14 if kind.startswith("dinov2") else 16),
        norm_layer=partial(nn.LayerNorm, eps=config.get("layer_norm_eps", _default_epsilon(kind))),
        act_layer=_find_activation(config["hidden_act"]),
    )
    if kind == "dinov3_vit":
        hidden = config.get("intermediate_size", 4 * width)
        arguments |= dict(mlp_ratio=(hidden + 0.5) / width, num_reg_tokens=config.get("num_register_tokens", 0))
        arguments |= dict(rope_temperature=config.get("rope_theta", 100.0))
        is_gated = bool(config.get("use_gated_mlp"))
        if is_gated:
            arguments |= dict(swiglu_mlp=True, swiglu_align_to=1)
        if arguments.pop("act_layer") is not ACTIVATIONS["silu" if is_gated else "gelu"]:
            raise ValueError(f"timm's DINOv3 has another activation than its {config['hidden_act']!r}")
        return "vit_small_patch16_dinov3_qkvb", arguments
    arguments |= dict(img_size=config["image_size"], qkv_bias=config["qkv_bias"])
    if not kind.startswith("dinov2"):
        arguments["mlp_ratio"] = (config.get("intermediate_size", 4 * width) + 0.5) / width
        return "vit_base_patch16_224", arguments
    hidden = int(width * config.get("mlp_ratio", 4))
    if config.get("use_swiglu_ffn"):
        hidden = 2 * ((int(hidden * 2 / 3) + 7) // 8 * 8)
        arguments |= dict(mlp_layer=SwiGLUPacked, act_layer=nn.SiLU)
    arguments |= dict(mlp_ratio=(hidden + 0.5) / width, init_values=1.0)
    if kind == "dinov2_with_registers":
        arguments |= dict(reg_tokens=config.get("num_register_tokens", 4), no_embed_class=True)
        return "vit_small_patch14_reg4_dinov2", arguments
    return "vit_small_patch14_dinov2", arguments


def _default_epsilon(kind: str) -> float:
    return {"vit": 1e-12, "vit_mae": 1e-12, "dinov3_vit": 1e-5}.get(kind, 1e-6)


def _find_activation(name: str) -> Callable[..., nn.Module]:
    if name not in ACTIVATIONS:
        raise ValueError(f"expected hidden_act to be one of {', '.join(ACTIVATIONS)}, but got {name!r}")
    return ACTIVATIONS[name]


def _set_normalization(vit: Any, folder: Path) -> None:
    """Set mean and standard deviation by preprocessor_config.json, where there is one."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        record = read_json_object(folder / "preprocessor_config.json", "a config of a preprocessor")
        normalization = dict(mean=tuple(record["image_mean"]), std=tuple(record["image_std"]))
        vit.pretrained_cfg = {**dict(vit.pretrained_cfg or {}), **normalization}
