"""Any method with any VFM and any CLIP: what the words of --vfm and --clip stand for, and what fits together."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proxyclip import plugins
from proxyclip.attention import build_strategy
from proxyclip.refine import build_steps
from proxyclip.vfm import resolve

BASE = "ProxyCLIPSegmentation"
WEIGHTS = (".pth", ".pt", ".safetensors", ".bin")


class Unfit(ValueError):
    """A combination of parts that makes no sense: each part is known, but they do not go together."""


def vfm(words: str) -> dict[str, Any] | None:
    """`vfm_model` for the words of --vfm: `dino`, `dino-s16`, `dino,MODEL`, `mae,FILE`, `my/own.py`, or `none`.

    Raises:
        ValueError: unknown family or size, or a model said twice; the message lists the known ones.
    """
    name, *more = words.split(",")
    if words == "none":
        return None
    spec = {"type": name} if plugins.is_file(name) else resolve(name)
    plugins.load("vfm", spec["type"])
    for part in more:
        key = "checkpoint" if part.endswith(WEIGHTS) or Path(part).is_file() else "model"
        if key in spec:
            raise ValueError(f"--vfm {words}: expected one {key}, but got {spec[key]!r} and {part!r}")
        spec[key] = part
    return spec


def clip(words: str, model: Mapping[str, Any]) -> dict[str, Any]:
    """`model_type` and `clip_type` for the words of --clip: `NAME`, `NAME,TAG`, `NAME,FILE`, `local-dir:FOLDER`.

    Without a tag, a name that `model` has already keeps its weights; another one gets its usual ones.

    Raises:
        Unfit: a model that cannot be opened; the message has the reason.
        ValueError: unknown name, or no weights by default; the message lists names or tags.
    """
    from proxyclip.clip import check_supported, default_tag, names

    name, _, weights = words.partition(",")
    if ":" in name:
        return dict(model_type=name, clip_type=weights or None)
    name = names(name)
    try:
        check_supported(name)
    except TypeError as error:
        raise Unfit(f"--clip {words}: {error}") from error
    usual = model.get("clip_type") if _is(name, model.get("model_type")) else default_tag(name)
    if not (weights or usual):
        from open_clip import list_pretrained_tags_by_model

        tags = ", ".join(list_pretrained_tags_by_model(name)) or "none of its own"
        raise ValueError(f"--clip {words}: expected {name},TAG or {name},FILE; its tags are {tags}")
    return dict(model_type=name, clip_type=weights or usual)


def _is(name: str, other: str | None) -> bool:
    from proxyclip.clip import names

    try:
        return names(other or "") == name
    except ValueError:
        return False


def segmentor(kind: str) -> Any:
    """The class that `model.type` names: the one of a file, or a registered one; None if there is no such name."""
    if plugins.is_file(kind):
        return plugins.load("methods", kind)
    from mmseg.registry import MODELS

    for name in ("segmentor", *(f"methods.{name}" for name in plugins.known("methods"))):
        importlib.import_module(f"proxyclip.{name}")
    return MODELS.get(kind)


def buildable(model: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a model as a registry builds it: a file as its `type` gives way to the class in it."""
    kind = model["type"]
    return {**model, "type": segmentor(kind) if isinstance(kind, str) and plugins.is_file(kind) else kind}


def trained(model: Mapping[str, Any]) -> bool:
    """Whether a model has weights of its own that train.py made, and so needs a checkpoint."""
    kind = model["type"]
    return kind != BASE and bool(getattr(segmentor(kind), "trained", False))


def from_training_room(model: Mapping[str, Any]) -> bool:
    """Whether the code in proxyclip/trained has a part in a model: a trained one, or a teacher evaluated alone."""
    kind = model["type"]
    return trained(model) or (kind != BASE and "proxyclip.trained." in getattr(segmentor(kind), "__module__", ""))


def guided(model: Mapping[str, Any]) -> bool | None:
    """Whether a model needs a VFM: True or False; None for one that works with and without, or that is not ours."""
    kind = model["type"]
    says = None if kind == BASE else getattr(segmentor(kind), "guided", None)
    if says is not None or not _ours(kind) or not model.get("attention"):
        return says
    return getattr(plugins.load("attention", _type(model["attention"])), "guided", None)


def method_name(model: Mapping[str, Any]) -> str | None:
    """What a table calls the method of a model: what its segmentor says, or its file or package, or its attention's."""
    kind, attention = model["type"], model.get("attention")
    if plugins.is_file(kind):
        return Path(kind).stem
    cls = None if kind == BASE else segmentor(kind)
    if isinstance(says := getattr(cls, "method", None), str):
        return says
    module = getattr(cls, "__module__", "")
    if module.startswith("proxyclip.methods."):
        return module.rpartition(".")[2]
    if module.startswith("proxyclip.trained."):
        return module.split(".")[2]
    if not attention:
        return ("proxy" if model.get("vfm_model") else "vanilla") if _ours(kind) else None
    name = _type(attention)
    return Path(name).stem if plugins.is_file(name) else name


def named(
    model: Mapping[str, Any], method: str | None = None, vfm: str | None = None, clip: str | None = None
) -> tuple[str, str, str]:
    """Method, VFM and CLIP of a model as a table shows them: as they were asked for, else as the model says."""
    guide = _type(model["vfm_model"]) if model.get("vfm_model") else "none"
    words = vfm or guide, clip or ",".join(filter(None, (model.get("model_type"), model.get("clip_type"))))
    guide, tower = (re.sub(r"(?<=local-dir:)[^,]*/", "", text) for text in words)  # the folder's own name will do
    return (Path(method).stem if method else method_name(model) or "-"), guide, tower


def check_combination(model: Mapping[str, Any], method: str | None = None) -> None:
    """Refuse parts that are unknown, have no such option, or do not go together; no weights are touched.

    Args:
        method: what the user calls it.

    Raises:
        Unfit: a VFM for what uses none, or the other way round. ValueError, TypeError: unknown parts and options.
    """
    if not _ours(model["type"]):
        return
    needs, has = guided(model), model.get("vfm_model") is not None
    name = method or method_name(model)
    if needs is False and has:
        given = _type(model["vfm_model"])
        raise Unfit(f"{name} uses no VFM, but got {given}: leave out --vfm, or set vfm_model=None (--vfm none)")
    if needs and not has:
        raise Unfit(f"{name} needs a VFM, but vfm_model is None: say --vfm dino, for one")
    build_strategy(model.get("attention"), has)
    build_steps(model.get("refine"))
    if has:
        plugins.check("vfm", resolve(model["vfm_model"]))


def _ours(kind: str) -> bool:
    if kind == BASE:
        return True
    found, base = segmentor(kind), segmentor(BASE)
    return isinstance(found, type) and issubclass(found, base)


def _type(part: Any) -> str:
    return str(part.get("type")) if isinstance(part, Mapping) else str(part)
