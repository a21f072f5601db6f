"""CLIPs in the form of open_clip: its config and weights are found by open_clip and read by this package.

open_clip reads files with torch.load and the config of a folder as it is; here tensors are read by
`proxyclip.models.weights.reading`, and options of a config that lead out of the folder or to code are refused.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.convert import convert_state_dict
from open_clip.factory import _find_checkpoint_in_dir
from open_clip.model import convert_to_custom_text_state_dict, resize_pos_embed, resize_text_pos_embed
from open_clip.pretrained import download_pretrained_from_hf
from torch import Tensor, nn

from proxyclip.models.clip.files import UNUSED_CLIP_TENSORS, hide_random_weights_warning
from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.json_files import read_json_object
from proxyclip.models.weights.model_configs import check_config_numbers, check_model_size
from proxyclip.models.weights.reading import is_torchscript, read_tensors

OPEN_CLIP_CONFIG = "open_clip_config.json"
SAFE_TOKENIZER_OPTIONS = {"additional_special_tokens", "clean", "language", "reduction_mask", "strip_sep_token"}
TOKENIZER_CONFIGS = ("tokenizer_config.json", "config.json")
MAX_TOKENIZER_BYTES = 10**8


def read_open_clip_folder_config(model_type: str) -> dict[str, Any]:
    """Read open_clip's `model_cfg` of a folder or repository, and check that it leads nowhere else.

    Args:
        model_type: `local-dir:FOLDER` or `hf-hub:REPOSITORY`.

    Raises:
        WeightsError: a config with options that run code or read other files. ValueError: no JSON. OSError: none.
    """
    scheme, _, place = model_type.partition(":")
    is_folder = scheme == "local-dir"
    path = Path(place) / OPEN_CLIP_CONFIG if is_folder else Path(download_pretrained_from_hf(place, OPEN_CLIP_CONFIG))
    try:
        content = read_json_object(path, "a config of a CLIP")
    except ValueError as error:
        raise ValueError(f"{path.name} is no config: {error}") from error
    config = content.get("model_cfg", content)
    towers: list[Any] = [config.get(f"{name}_cfg") for name in ("vision", "text")] if isinstance(config, dict) else []
    if not towers or not all(isinstance(tower, dict) for tower in towers):
        raise ValueError(f"expected `model_cfg` with vision_cfg and text_cfg in {path}")
    check_config_numbers(content, path)
    _check_tokenizer(towers[1], path, is_folder)
    return config


def _check_tokenizer(text: Mapping[str, Any], path: Path, is_folder: bool) -> None:
    options = text.get("tokenizer_kwargs") or {}
    unsafe = sorted(set(options) - SAFE_TOKENIZER_OPTIONS) if isinstance(options, dict) else ["tokenizer_kwargs"]
    if unsafe:
        raise WeightsError(
            f"Expected tokenizer_kwargs of {', '.join(sorted(SAFE_TOKENIZER_OPTIONS))} in {path}, but got "
            f"{', '.join(unsafe)}, which can read other files or run code; nothing was run. Remove it."
        )
    name = text.get("hf_tokenizer_name")
    if not name:
        return
    if not isinstance(name, str) or re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name) is None:
        raise WeightsError(f"Expected hf_tokenizer_name to be OWNER/NAME in {path}, but got {str(name)[:80]!r}.")
    if is_folder:  # open_clip then reads the tokenizer of this folder
        check_tokenizer_folder(path.parent)


def check_tokenizer_folder(folder: Path) -> None:
    """Check that the tokenizer files of a folder name no code and no other files, and are of a usual size.

    Raises:
        WeightsError: they do.
    """
    for path in sorted(folder.glob("*")):
        if path.suffix in (".json", ".txt", ".model") and path.stat().st_size > MAX_TOKENIZER_BYTES:
            raise WeightsError(f"Expected a tokenizer's file of at most 100 MB, but {path} has more; get it again.")
    for path in (folder / name for name in TOKENIZER_CONFIGS):
        if not path.is_file():
            continue
        try:
            config = read_json_object(path, "a config of a tokenizer")
        except ValueError as error:
            raise WeightsError(f"{path} cannot be read as JSON ({error}); get it again.") from error
        unsafe = [key for key in config if key == "auto_map" or (key.endswith("_file") and config[key])]
        if unsafe:
            raise WeightsError(
                f"Expected a tokenizer without code in {path}, but its {', '.join(unsafe)} names code or other files; "
                "nothing was run. Remove it, or use a CLIP with open_clip's own tokenizer."
            )


def create_open_clip_tokenizer(name: str) -> Any:
    """Create the tokenizer of a model of open_clip; one of transformers without code of its repository.

    Args:
        name: of open_clip, `local-dir:FOLDER` or `hf-hub:REPOSITORY`.

    Raises:
        WeightsError: options that run code or read other files. Others: of open_clip and transformers.
    """
    config = read_open_clip_folder_config(name) if ":" in name else open_clip.get_model_config(name) or {}
    is_foreign = bool(config.get("text_cfg", {}).get("hf_tokenizer_name"))
    return open_clip.get_tokenizer(name, **({"trust_remote_code": False} if is_foreign else {}))


def load_open_clip_folder(model_type: str) -> nn.Module:
    """Create the model of a folder or repository in open_clip's form, with its weights.

    Raises:
        WeightsError, OSError, RuntimeError, ValueError: no weights, unreadable ones, or those of another model.
    """
    config = read_open_clip_folder_config(model_type)
    scheme, _, place = model_type.partition(":")
    file = _find_checkpoint_in_dir(Path(place)) if scheme == "local-dir" else download_pretrained_from_hf(place)
    if not file:
        raise FileNotFoundError(f"there are no weights in {place}")
    tensors = read_tensors(Path(file))
    arguments = {key: value for key, value in config.items() if key != "custom_text"}
    model_class = open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP
    check_model_size(lambda: model_class(**arguments), tensors, file)
    with hide_random_weights_warning():
        model = open_clip.create_model(model_type, load_weights=False, pretrained_text=False)
    fill_open_clip_model(model, tensors, Path(file))
    return model


def fill_open_clip_model(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load the tensors of a file into a model of open_clip, with its conversions of other releases.

    Args:
        path: of the file.

    Raises:
        RuntimeError: names or shapes differ.
    """
    clip: Any = model
    state: dict[str, Tensor] = dict(tensors)
    if is_torchscript(path):
        state = {name: value for name, value in state.items() if name not in UNUSED_CLIP_TENSORS}
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    state = convert_state_dict(clip, state)
    if "positional_embedding" in state and not hasattr(clip, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    for name in ("logit_scale", "logit_bias"):
        if name in state and getattr(clip, name, None) is not None:
            state[name] = state[name].reshape(getattr(clip, name).shape)
    if getattr(clip, "logit_bias", None) is not None:
        state.setdefault("logit_bias", torch.zeros_like(state["logit_scale"]))
    with suppress(KeyError):
        del state["text.transformer.embeddings.position_ids"]
    resize_pos_embed(state, clip)
    resize_text_pos_embed(state, clip)
    clip.load_state_dict(state, strict=True)
