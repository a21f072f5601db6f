"""Loading of CLIPs from weights files of an architecture that is named."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
from open_clip.pretrained import get_pretrained_cfg
from torch import Tensor, nn

from proxyclip.data.vocabulary import log_note
from proxyclip.models.clip.support import find_fitting_clips, format_unknown_tag
from proxyclip.models.clip.transformers_clip import make_open_clip_config, read_transformers_normalization
from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.reading import is_torchscript, load_tensors_into, read_tensors, select_network
from proxyclip.models.weights.transformers_form import (
    TRANSFORMERS_WEIGHTS,
    is_transformers_clip,
    read_transformers_config,
)
from proxyclip.utils.paths import find_existing_path

QUICK_GELU_FAMILIES = ("openai", "metaclip", "dfn")
# Names that tell a CLIP in a file: its own class, and open_clip's with a text tower of its own.
CLIP_ANCHORS = ("visual.conv1.weight", "visual.class_embedding")
# Scalars of OpenAI's archives, and tables that are made anew.
UNUSED_CLIP_TENSORS = ("input_resolution", "context_length", "vocab_size", "attn_mask", "text.attn_mask")


def load_clip_file(name: str, file: str, tags: list[str]) -> nn.Module:
    """Load a CLIP from a file of OpenAI, open_clip or transformers.

    Args:
        name: open_clip's name of the architecture. tags: of its weights.

    Raises:
        ValueError: neither a file nor a tag. WeightsError: a file that cannot be read or does not fit.
    """
    try:
        path = find_existing_path(file, "weights file")
    except FileNotFoundError as error:
        raise ValueError(format_unknown_tag(name, tags, file)) from error
    tensors = read_tensors(path)
    if is_torchscript(path):  # OpenAI's own archive: half precision, three extra scalars
        options: dict[str, Any] = dict(force_quick_gelu=True)
    elif is_transformers_clip(tensors):
        options = _options_of_transformers(name, path, tags)
    else:
        options = _options_by_file_name(name, path.name.lower(), tags)
    with hide_random_weights_warning():
        model = open_clip.create_model(name, load_weights=False, **options)
    network = select_network(tensors, CLIP_ANCHORS, path)
    state = {key: value for key, value in network.items() if not key.startswith(UNUSED_CLIP_TENSORS)}
    try:
        load_tensors_into(model, state, str(path))
    except WeightsError as error:
        raise WeightsError(f"{error}{_suggest_architecture(name, state, path)}") from error
    return model


def _suggest_architecture(name: str, state: dict[str, Tensor], path: Path) -> str:
    """Return ` It has the sizes of ...` for the tensors of another architecture, else ""."""
    parts = [state.get(f"visual.{part}") for part in ("conv1.weight", "positional_embedding", "proj")]
    if any(part is None or part.ndim < 2 for part in parts):
        return ""
    conv, positions, projection = (tuple(part.shape) for part in parts if part is not None)
    names = find_fitting_clips(conv[0], conv[-1], positions[0], projection[1])
    return f" It has the sizes of {names[0]}: --clip {names[0]},{path}" if names and name not in names else ""


@contextmanager
def hide_random_weights_warning() -> Iterator[None]:
    """Hide open_clip's warning that weights are random, while a model is made that gets its weights afterwards."""

    def is_other(record: logging.LogRecord) -> bool:
        return "No pretrained weights loaded for model" not in record.getMessage()

    root = logging.getLogger()  # to which open_clip writes
    root.addFilter(is_other)
    try:
        yield
    finally:
        root.removeFilter(is_other)


def _options_of_transformers(name: str, path: Path, tags: list[str]) -> dict[str, Any]:
    """Activation and normalization by the config beside a file of transformers, else by the file's name."""
    config = read_transformers_config(path.parent) if path.name in TRANSFORMERS_WEIGHTS else None
    if config is not None and config.get("model_type") == "clip":
        quick_gelu = bool(make_open_clip_config(path.parent, config).get("quick_gelu"))
        return dict(force_quick_gelu=quick_gelu, force_preprocess_cfg=read_transformers_normalization(path.parent))
    options = _options_by_file_name(name, path.name.lower(), tags)
    if options == dict(force_quick_gelu=False):
        log_note(
            f"{path} does not say its activation: QuickGELU is used, as transformers does. Give its folder with "
            "config.json (local-dir:FOLDER), or put a tag into its name"
        )
        options["force_quick_gelu"] = True
    return options


def _options_by_file_name(name: str, file: str, tags: list[str]) -> dict[str, Any]:
    """Activation and normalization by the tag of `name`, or family, in a file name."""
    tag = max((tag for tag in tags if tag in file), key=len, default=None)
    if tag is None:
        return dict(force_quick_gelu=any(family in file for family in QUICK_GELU_FAMILIES))
    record: dict[str, Any] = get_pretrained_cfg(name, tag)
    normalization = {key: record[key] for key in ("mean", "std") if key in record}
    return dict(force_quick_gelu=bool(record.get("quick_gelu")), force_preprocess_cfg=normalization)
