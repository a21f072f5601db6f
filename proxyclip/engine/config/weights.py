"""Weights of a config's model, provided and hashed before anything is built."""

from collections.abc import Mapping
from typing import Any

from proxyclip.models.registry import is_plugin_file, load_plugin_class
from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.catalogue import WeightsEntry, list_required_weights
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
    """Hash the weights files that a model names by a short name, a tag or a repository of the hub.

    Returns:
        SHA-256 by name, of those on this machine; the ones in the package are part of its code.

    Raises:
        WeightsError: a file is not the one that its source has: damaged on this disk, say.
    """
    entries = list_required_weights(_name_clip(model), find_configured_vfm(model))
    return {entry.name: _hash_weights(entry) for entry in entries if not entry.file and entry.place}


def _hash_weights(entry: WeightsEntry) -> str:
    path = entry.place
    assert path is not None
    digest = hash_file(path)
    expected = find_expected_hash(path, entry)
    if expected is None or digest.startswith(expected[0]):
        return digest
    mismatch = describe_hash_mismatch(path, expected[0])
    if mismatch is None:  # git's SHA-1, of a small file
        return digest
    raise WeightsError(
        f"The weights {entry.name} are damaged: {mismatch} ({expected[1]}).\n"
        f"  file:   {path}\n"
        f"  remedy: delete it and {path.resolve()}, then: python -m proxyclip weights fetch {entry.name}"
    )


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
