"""Weights of a config's model, provided and hashed before anything is built."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from proxyclip.models.registry import is_plugin_file, load_plugin_class
from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.catalogue import CONFIG_FILES, WeightsEntry, list_required_weights
from proxyclip.models.weights.requirements import provide_required_weights
from proxyclip.models.weights.verify import describe_hash_mismatch, find_expected_hash
from proxyclip.utils.hashing import hash_file


def download_missing_weights(model: Mapping[str, Any], vfm: str | None = None) -> None:
    """Download the missing weights of a model, CLIP, VFM and tokenizer, with name, size, source and target.

    Args:
        model: of a config.
        vfm: value of --vfm, if there is one.

    Raises:
        WeightsError: some cannot be had, or this is offline; the message names all, with one command for all.
    """
    provide_required_weights(_name_clip(model), vfm or find_configured_vfm(model))


def hash_required_weights(model: Mapping[str, Any]) -> dict[str, str]:
    """Hash the weights, and the configs beside them, that a model names by a short name, a tag or a repository.

    Returns:
        SHA-256 by name, of the files on this machine; the ones in the package are part of its code.
    """
    return {f"{entry.name} {path.name}": hash_file(path) for entry, path in _iter_required_files(model)}


def check_required_weights(model: Mapping[str, Any]) -> None:
    """Check that the weights of `hash_required_weights` are those that their sources have.

    Raises:
        WeightsError: a file has another hash: damaged on this disk, say.
    """
    for entry, path in _iter_required_files(model):
        expected = find_expected_hash(path, entry if path.name not in CONFIG_FILES.values() else None)
        if expected is None or hash_file(path).startswith(expected[0]):
            continue
        mismatch = describe_hash_mismatch(path, expected[0])  # None where git's SHA-1 was expected
        if mismatch is not None:
            raise WeightsError(
                f"The weights {entry.name} are damaged: {mismatch} ({expected[1]}).\n"
                f"  file:   {path}\n"
                f"  remedy: delete it and {path.resolve()}, then: python -m proxyclip weights fetch {entry.name}"
            )


def _iter_required_files(model: Mapping[str, Any]) -> Iterator[tuple[WeightsEntry, Path]]:
    """Yield the weights that a model names, and configs beside them, if they are here and not in the package."""
    for entry in list_required_weights(_name_clip(model), find_configured_vfm(model)):
        place = None if entry.file else entry.place
        if place is not None:
            configs = {place.with_name(name) for name in CONFIG_FILES.values()} if entry.hub else set()
            yield from ((entry, path) for path in (place, *sorted(configs)) if path.is_file())


def _name_clip(model: Mapping[str, Any]) -> str | None:
    """Value of --clip for the CLIP of a config."""
    return ",".join(filter(None, (model.get("model_type"), model.get("clip_type")))) or None


def find_configured_vfm(model: Mapping[str, Any]) -> str | None:
    """Return the VFM of a config as a value of --vfm; None without one, or with a weights file."""
    spec: Any = model.get("vfm_model")
    if isinstance(spec, str):
        spec = {"type": spec}
    if not spec or spec.get("checkpoint") or model.get("checkpoint"):
        return None
    family, model = spec["type"], spec.get("model")
    if model is None or is_plugin_file(family):
        return family
    variants = getattr(load_plugin_class("vfm", family.partition("-")[0]), "variants", {})
    size = next((size for size, name in variants.items() if name == model), None)
    return f"{family}-{size}" if size else f"{family},{model}"
