"""Weights of a config's model, provided before anything is built."""

from collections.abc import Mapping
from typing import Any

from proxyclip.models.registry import is_plugin_file, load_plugin_class
from proxyclip.models.weights.requirements import provide_required_weights


def download_missing_weights(model: Mapping[str, Any], vfm: str | None = None) -> None:
    """Download the missing weights of a model, CLIP, VFM and tokenizer, with name, size, source and target.

    Args:
        model: of a config.
        vfm: value of --vfm, if there is one.

    Raises:
        WeightsError: some cannot be had, or this is offline; the message names all, with one command for all.
    """
    tower = ",".join(filter(None, (model.get("model_type"), model.get("clip_type"))))
    provide_required_weights(tower or None, vfm or find_configured_vfm(model))


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
