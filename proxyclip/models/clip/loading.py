"""Loading of CLIPs through open_clip: names, supported towers, weights."""

import importlib.util
from pathlib import Path
from typing import Any

import open_clip
from open_clip.pretrained import download_pretrained, get_pretrained_cfg, list_pretrained_tags_by_model
from torch import nn

from proxyclip.models.clip.files import hide_random_weights_warning, load_clip_file
from proxyclip.models.clip.open_clip_form import (
    create_open_clip_tokenizer,
    fill_open_clip_model,
    load_open_clip_folder,
    read_open_clip_folder_config,
)
from proxyclip.models.clip.support import format_unknown_clip, has_resnet_tower, unsupported_clip_reason
from proxyclip.models.clip.transformers_clip import (
    find_transformers_clip,
    load_transformers_clip,
    make_open_clip_config,
)
from proxyclip.models.weights import WeightsError, short_reason
from proxyclip.models.weights.catalogue import WEIGHTS_FILES, expand_clip_name, normalize_clip_name
from proxyclip.models.weights.reading import explain_foreign_files, read_tensors
from proxyclip.models.weights.transformers_form import TRANSFORMERS_WEIGHTS
from proxyclip.utils.paths import find_existing_path

LOADING_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
PREPROCESSING_KEYS = ("mode", "mean", "std", "interpolation", "resize_mode", "fill_color")
# Tags for names without OpenAI weights.
DEFAULT_TAGS = {"ViT-H-14": "laion2b_s32b_b79k", "ViT-g-14": "laion2b_s34b_b88k", "ViT-bigG-14": "laion2b_s39b_b160k"}


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
    raise ValueError(format_unknown_clip(model_type, list_supported_clips()))


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


def get_clip_config(model_type: str) -> dict[str, Any]:
    """Return open_clip's `model_cfg` of a CLIP, without its weights.

    Raises:
        ValueError: an unknown name. FileNotFoundError: no such folder.
    """
    model_type = expand_clip_name(model_type)
    if ":" not in model_type:
        config = open_clip.get_model_config(canonical_clip_name(model_type))
    elif (transformers_clip := find_transformers_clip(model_type)) is not None:
        config = make_open_clip_config(*transformers_clip)
    else:
        config = _read_folder_config(_resolve_folder(model_type))
    if config is None:
        raise ValueError(f"Expected a CLIP that open_clip knows, but got {model_type!r}")
    return config


def _resolve_folder(model_type: str) -> str:
    """Find the folder of a `local-dir:` name; other names stay."""
    if not model_type.startswith("local-dir:"):
        return model_type
    return f"local-dir:{find_existing_path(model_type.partition(':')[2], 'folder of an open_clip model')}"


def load_open_clip(model_type: str, clip_type: str | None, resnets: bool = False) -> tuple[nn.Module, Any]:
    """Load an open_clip model with its weights, and its tokenizer.

    Arguments and errors are those of `proxyclip.models.clip.dense.load_clip`.

    Args:
        resnets: accept a ResNet as image tower; it has no last attention block.
    """
    model_type = expand_clip_name(model_type)
    if ":" in model_type:
        _check_folder_arguments(model_type, clip_type)
        transformers_clip = find_transformers_clip(model_type)
        if transformers_clip is not None:
            return load_transformers_clip(*transformers_clip)
        name, model = _load_folder_or_hub(model_type, resnets)
    else:
        name = canonical_clip_name(model_type)
        check_clip_supported(name, resnets=resnets)
        tags = list_pretrained_tags_by_model(name)
        if not clip_type:
            tag_list = ", ".join(tags) or "open_clip has none for it"
            raise WeightsError(f"{name} needs weights: clip_type=<tag> ({tag_list}) or a file.")
        model = _load_tag(name, clip_type) if clip_type in tags else load_clip_file(name, clip_type, tags)
    try:
        return model, create_open_clip_tokenizer(name)
    except OSError as error:
        problem = f"is not on this machine and could not be fetched ({short_reason(error)})"
        raise WeightsError(f"The tokenizer of {name} {problem}.") from error
    except (AssertionError, AttributeError, TypeError, ValueError) as error:  # by its options in a folder's config
        raise WeightsError(f"The tokenizer of {name} cannot be made ({short_reason(error)}).") from error


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


def _check_folder_arguments(model_type: str, clip_type: str | None) -> None:
    if not model_type.startswith(("local-dir:", "hf-hub:")):
        raise ValueError(f"Expected 'hf-hub:<repository>' or 'local-dir:<folder>', but got {model_type!r}")
    if clip_type:
        raise ValueError(f"{model_type!r} brings its own weights: expected clip_type=None, but got {clip_type!r}")


def _load_folder_or_hub(model_type: str, resnets: bool) -> tuple[str, nn.Module]:
    model_type = _resolve_folder(model_type)
    config = _read_folder_config(model_type)
    check_clip_supported(model_type, config, resnets)
    try:
        return model_type, load_open_clip_folder(model_type)
    except LOADING_ERRORS as error:
        raise _explain_failure(model_type, error) from error


def _read_folder_config(model_type: str) -> dict[str, Any]:
    try:
        return read_open_clip_folder_config(model_type)
    except LOADING_ERRORS as error:
        raise _explain_failure(model_type, error) from error


def _explain_failure(model_type: str, error: Exception) -> WeightsError:
    """Make the error of a folder or repository that cannot be loaded."""
    reason = short_reason(error, 400) if isinstance(error, WeightsError) else short_reason(error)
    needs = "  A folder needs open_clip_config.json and open_clip_model.safetensors (or open_clip_pytorch_model.bin)."
    if model_type.startswith("local-dir:"):
        folder = Path(model_type.removeprefix("local-dir:"))
        needs = explain_foreign_files(folder, (*WEIGHTS_FILES["clip"], *TRANSFORMERS_WEIGHTS)) or needs
    else:
        needs = f"  Get it again: python -m proxyclip weights fetch {model_type}"
    return WeightsError(f"The CLIP {model_type!r} cannot be loaded: {reason}.\n{needs}")


def _load_tag(name: str, tag: str) -> nn.Module:
    record: dict[str, Any] = get_pretrained_cfg(name, tag)
    look = {key: value for key, value in record.items() if key in PREPROCESSING_KEYS}
    try:
        path = Path(download_pretrained(record))
        tensors = read_tensors(path)
        with hide_random_weights_warning():
            model = open_clip.create_model(
                name,
                load_weights=False,
                pretrained_text=False,
                force_quick_gelu=bool(record.get("quick_gelu")),
                force_preprocess_cfg=look,
            )
        fill_open_clip_model(model, tensors, path)
        return model
    except (OSError, RuntimeError) as error:
        repository = (record.get("hf_hub") or "").rstrip("/")
        source = f"https://huggingface.co/{repository}" if repository else record.get("url", "")
        fetch = f"python -m proxyclip weights fetch {name if tag == default_clip_tag(name) else f'{name},{tag}'}"
        raise WeightsError(
            f"The CLIP weights {tag!r} of {name} cannot be loaded; get them: {fetch}\n"
            f"  why:    {short_reason(error, 400)}\n"
            f"  file:   open_clip_model.safetensors and open_clip_config.json of {source}\n"
            f"  get it: hf download {repository} --local-dir FOLDER   (on a machine with internet access)\n"
            "  use it: model_type='local-dir:FOLDER', clip_type=None"
        ) from error
