"""Any method with any VFM and any CLIP: what the words of --vfm and --clip stand for, and what fits together."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxyclip.models.attention import build_strategy
from proxyclip.models.refine import build_refine_steps
from proxyclip.models.registry import (
    PLUGIN_PACKAGES,
    check_plugin_spec,
    is_plugin_file,
    list_plugins,
    load_plugin_class,
)
from proxyclip.models.vfm import resolve_vfm_spec

BASE_SEGMENTOR = "ProxyCLIPSegmentation"
WEIGHT_SUFFIXES = (".pth", ".pt", ".safetensors", ".bin")


class IncompatibleComponents(ValueError):
    """A combination of parts that makes no sense: each part is known, but they do not go together."""


def parse_vfm_spec(words: str) -> dict[str, Any] | None:
    """`vfm_model` for the words of --vfm: `dino`, `dino-s16`, `dino,MODEL`, `mae,FILE`, `my/own.py`, or `none`.

    Raises:
        ValueError: unknown family or size, or a model said twice; the message lists the known ones.
    """
    name, *more = words.split(",")
    if words == "none":
        return None
    spec = {"type": name} if is_plugin_file(name) else resolve_vfm_spec(name)
    load_plugin_class("vfm", spec["type"])
    for part in more:
        key = "checkpoint" if part.endswith(WEIGHT_SUFFIXES) or Path(part).is_file() else "model"
        if key in spec:
            raise ValueError(f"--vfm {words}: expected one {key}, but got {spec[key]!r} and {part!r}")
        spec[key] = part
    return spec


def parse_clip_spec(words: str, model: Mapping[str, Any]) -> dict[str, Any]:
    """`model_type` and `clip_type` for the words of --clip: `NAME`, `NAME,TAG`, `NAME,FILE`, `local-dir:FOLDER`.

    Without a tag, a name that `model` has already keeps its weights; another one gets its usual ones.

    Raises:
        Unfit: a model that cannot be opened; the message has the reason.
        ValueError: unknown name, or no weights by default; the message lists names or tags.
    """
    from proxyclip.models.clip.loading import canonical_clip_name, check_clip_supported, default_clip_tag

    name, _, weights = words.partition(",")
    if ":" in name:
        return dict(model_type=name, clip_type=weights or None)
    name = canonical_clip_name(name)
    try:
        check_clip_supported(name)
    except TypeError as error:
        raise IncompatibleComponents(f"--clip {words}: {error}") from error
    usual = model.get("clip_type") if _is(name, model.get("model_type")) else default_clip_tag(name)
    if not (weights or usual):
        from open_clip import list_pretrained_tags_by_model

        tags = ", ".join(list_pretrained_tags_by_model(name)) or "none of its own"
        raise ValueError(f"--clip {words}: expected {name},TAG or {name},FILE; its tags are {tags}")
    return dict(model_type=name, clip_type=weights or usual)


def _is(name: str, other: str | None) -> bool:
    from proxyclip.models.clip.loading import canonical_clip_name

    try:
        return canonical_clip_name(other or "") == name
    except ValueError:
        return False


def find_segmentor_class(kind: str) -> Any:
    """The class that `model.type` names: the one of a file, or a registered one; None if there is no such name."""
    if is_plugin_file(kind):
        return load_plugin_class("methods", kind)
    from mmseg.registry import MODELS

    for name in list_plugins("methods"):
        importlib.import_module(f"{PLUGIN_PACKAGES['methods']}.{name}")
    return MODELS.get(kind)


def resolve_model_type(model: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a model as a registry builds it: a file as its `type` gives way to the class in it."""
    kind = model["type"]
    return {**model, "type": find_segmentor_class(kind) if isinstance(kind, str) and is_plugin_file(kind) else kind}


@dataclass(frozen=True)
class MethodInfo:
    """What the classes that a model's config names say about its method.

    Attributes:
        name: what tables call it: the `method` of the segmentor, or of its attention where that is None; the name of
            the class where it sets none of its own. None for an unknown segmentor.
        cls: the segmentor class; None for an unknown one.
        guided: whether it needs a VFM; None for one that works with and without, or that does not say.
        needs_checkpoint: whether it has weights that train.py made.
        uses_trained_code: whether code of trained models takes part: a trained model, or a teacher evaluated alone.
        takes_components: whether the config chooses CLIP, VFM and attention, as those of `ProxyCLIPSegmentation` do.
        attention: the spec of the attention that is used; None where the segmentor brings its own.
    """

    name: str | None
    cls: Any
    guided: bool | None
    needs_checkpoint: bool
    uses_trained_code: bool
    takes_components: bool
    attention: Any = None


def describe_method(model: Mapping[str, Any]) -> MethodInfo:
    """The method of a config's `model`.

    Raises:
        ValueError: an unknown attention; the message lists the known ones. FileNotFoundError: no such file.
    """
    cls, base = find_segmentor_class(model["type"]), find_segmentor_class(BASE_SEGMENTOR)
    takes_components = inspect.isclass(cls) and issubclass(cls, base)
    name, guided, attention = _own_method(cls), getattr(cls, "guided", None), None
    if takes_components and name is None:
        attention = model.get("attention") or cls.default_attention
        default = "proxy" if model.get("vfm_model") else "vanilla"
        strategy = load_plugin_class("attention", _component_type(attention or default))
        name = _own_method(strategy)
        guided = guided if guided is not None or not attention else getattr(strategy, "guided", None)
    needs_checkpoint = bool(getattr(cls, "trained", False))
    uses_trained_code = needs_checkpoint or bool(getattr(cls, "uses_trained_code", False))
    return MethodInfo(name, cls, guided, needs_checkpoint, uses_trained_code, takes_components, attention)


def _own_method(cls: Any) -> str | None:
    """The `method` that a class sets itself, or its name: a subclass is another method than its base."""
    return None if cls is None else vars(cls).get("method", cls.__name__)


def component_names(
    model: Mapping[str, Any], name: str | None, vfm: str | None = None, clip: str | None = None
) -> tuple[str, str, str]:
    """Method, VFM and CLIP of a model as a table shows them: as they were asked for, else as the model says.

    Args:
        name: of the method (see `MethodInfo`). vfm, clip: the words of --vfm and --clip.
    """
    guide = _component_type(model["vfm_model"]) if model.get("vfm_model") else "none"
    words = vfm or guide, clip or ",".join(filter(None, (model.get("model_type"), model.get("clip_type"))))
    guide, tower = (re.sub(r"(?<=local-dir:)[^,]*/", "", text) for text in words)  # the folder's own name will do
    return name or "-", guide, tower


def check_combination(model: Mapping[str, Any], method: MethodInfo) -> None:
    """Refuse parts that are unknown, have no such option, or do not go together; no weights are touched.

    Raises:
        Unfit: a VFM for what uses none, or the other way round. ValueError, TypeError: unknown parts and options.
    """
    if not method.takes_components:
        return
    has = model.get("vfm_model") is not None
    if method.guided is False and has:
        given = _component_type(model["vfm_model"])
        raise IncompatibleComponents(
            f"{method.name} uses no VFM, but got {given}: leave out --vfm, or set vfm_model=None (--vfm none)"
        )
    if method.guided and not has:
        raise IncompatibleComponents(f"{method.name} needs a VFM, but vfm_model is None: say --vfm dino, for one")
    build_strategy(method.attention or model.get("attention"), has)
    build_refine_steps(model.get("refine"))
    if has:
        check_plugin_spec("vfm", resolve_vfm_spec(model["vfm_model"]))


def _component_type(part: Any) -> str:
    return str(part.get("type")) if isinstance(part, Mapping) else str(part)
