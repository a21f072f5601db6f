"""Models in the form of timm, by name, folder or repository, with weights that this package reads.

timm reads files with torch.load and the config of a folder as it is. Here it builds the model and converts the tensors,
as ever, but gets them in memory, and a config gets no say in where weights lie.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import timm
from timm.models._hub import hf_split, load_model_config_from_path
from torch import nn

from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.json_files import read_json_object
from proxyclip.models.weights.model_configs import check_config_numbers, check_model_size
from proxyclip.models.weights.reading import HEAD_PREFIXES, read_state_dict

# Files of a folder, best first, as timm looks for them; then the first of a suffix.
FOLDER_FILES = (
    "model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth", "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth"
)  # fmt: skip
FOLDER_SUFFIXES = (".safetensors", ".pth", ".pth.tar", ".bin")
# Entries of a config that say where weights are and who reads them.
SOURCE_KEYS = ("source", "file", "url", "hf_hub_id", "hf_hub_filename", "custom_load", "state_dict")
TIMM_LOGGER = logging.getLogger("timm.models._builder")
MISSING_PATTERN = re.compile(r"Missing keys \((.+)\) discovered while loading pretrained weights")  # of that logger
# Arguments of timm's functions, beside those of its models.
UNSAFE_ARGUMENTS = (
    "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_strict", "pretrained_filter_fn",
    "pretrained_model_args", "checkpoint_path", "cache_dir", "scriptable", "exportable", "no_jit", "features_only",
    "feature_cfg", "model_cfg", "kwargs_filter", "pruned", "device", "dtype"
)  # fmt: skip


def create_timm_model(name: str, options: Mapping[str, Any]) -> nn.Module:
    """Create a model of timm with its pretrained weights, downloaded if need be.

    Args:
        name: timm name, `hf-hub:REPOSITORY` or `local-dir:FOLDER`.
        options: of the model, in place of those that its config says.

    Raises:
        WeightsError: unreadable weights, or a config that leads elsewhere. Others: of timm and the hub's client.
    """
    scheme, separator, place = name.partition(":")
    if not separator:
        if not timm.is_model(name):
            return timm.create_model(name, pretrained=True, **options)  # whose error says so
        path = _locate_named_weights(name)
        return _create_filled(name, path, options, pretrained_cfg_overlay=dict.fromkeys(SOURCE_KEYS))
    if scheme == "local-dir":
        folder = Path(place)
        path = find_folder_weights(folder)
    else:
        folder = _download(place, "config.json").parent
        path = _download_first(place, FOLDER_FILES[:2])
    record, architecture, arguments = read_timm_config(folder)
    saved = dict(pretrained_model_args=dict(arguments)) if arguments else {}
    return _create_filled(architecture, path, {**arguments, **options}, pretrained_cfg=record, **saved)


def _create_filled(architecture: str, path: Path, options: Mapping[str, Any], **sources: Any) -> nn.Module:
    """Create a model and let timm fill it with the tensors of a file."""
    tensors = read_state_dict(path)
    for key in ("pretrained_cfg", "pretrained_cfg_overlay"):
        if key in sources:
            check_model_size(lambda: timm.create_model(architecture, **options), tensors, path)
            sources[key] = {**sources[key], "state_dict": tensors}
    with refuse_missing_tensors(path):
        vit: Any = timm.create_model(architecture, pretrained=True, **sources, **options)
    for config in (vit.pretrained_cfg, vit.default_cfg):
        config.pop("state_dict", None)
    return vit


@contextmanager
def refuse_missing_tensors(path: Path) -> Iterator[None]:
    """Refuse weights that lack tensors of the model that timm fills with them: it would leave those random.

    Raises:
        WeightsError: names are missing, besides those of a classifier; the message counts them and names the first.
    """
    missing: list[str] = []

    def collect(record: logging.LogRecord) -> bool:
        match = MISSING_PATTERN.match(record.getMessage())
        missing.extend(match[1].split(", ") if match else ())
        return record.levelno > logging.INFO

    level = TIMM_LOGGER.level
    TIMM_LOGGER.addFilter(collect)
    TIMM_LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        TIMM_LOGGER.removeFilter(collect)
        TIMM_LOGGER.setLevel(level)
    names = [name for name in missing if not name.startswith(HEAD_PREFIXES)]
    if names:
        raise WeightsError(f"{path} lacks {len(names)} tensors of the model (first: {names[0]}); get it again.")


def read_timm_config(folder: Path) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """Read a config.json of timm: (record of the weights without a source, architecture, arguments).

    Raises:
        WeightsError: an unknown architecture, or arguments beside those of a model. ValueError, KeyError: no config of
            timm. OSError: there is none.
    """
    path = folder / "config.json"
    check_config_numbers(read_json_object(path, "a config of a model"), path)
    record, architecture, arguments = load_model_config_from_path(folder)
    if not isinstance(architecture, str) or not timm.is_model(architecture):
        raise WeightsError(f"Expected an architecture of timm in {path}, but got {str(architecture)[:80]!r}.")
    unsafe = sorted(set(arguments) & set(UNSAFE_ARGUMENTS))
    if unsafe:
        raise WeightsError(
            f"Expected model_args of the model alone in {path}, but got {', '.join(unsafe)}, which say how weights are "
            "loaded. Remove them."
        )
    return {key: value for key, value in record.items() if key not in SOURCE_KEYS}, architecture, arguments


def find_folder_weights(folder: Path) -> Path:
    """Find the weights file of a folder.

    Raises:
        FileNotFoundError: there is none.
    """
    names = [name for name in FOLDER_FILES if (folder / name).is_file()]
    names += [path.name for suffix in FOLDER_SUFFIXES for path in sorted(folder.glob(f"*{suffix}"))]
    if not names:
        raise FileNotFoundError(f"there are no weights in {folder}")
    return folder / names[0]


def _locate_named_weights(name: str) -> Path:
    """Locate the file of a model of timm's table, downloaded if need be."""
    record: Any = timm.get_pretrained_cfg(name)
    if record is not None and record.hf_hub_id:
        if record.custom_load == "hf":
            raise WeightsError(f"The weights of {name} are a NumPy archive of JAX, which is not read.")
        names = (record.hf_hub_filename,) if record.hf_hub_filename else FOLDER_FILES[:2]
        return _download_first(record.hf_hub_id, names)
    if record is None or not record.url:
        raise RuntimeError(f"No pretrained weights exist for {name}")
    from timm.models._hub import download_cached_file

    return Path(download_cached_file(record.url, check_hash=True))


def _download_first(repository: str, names: tuple[str, ...]) -> Path:
    """Download the first file of a repository that it has."""
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    for name in names[:-1]:
        with suppress(EntryNotFoundError):
            try:
                return _download(repository, name)
            except LocalEntryNotFoundError:  # no network; the other one may be in the cache
                continue
    return _download(repository, names[-1])


def _download(repository: str, name: str) -> Path:
    from huggingface_hub import hf_hub_download

    identity, revision = hf_split(repository)
    return Path(hf_hub_download(identity, name, revision=revision))
