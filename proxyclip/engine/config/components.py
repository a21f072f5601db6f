"""Parse --vfm and --clip, and check that method, VFM and CLIP fit together."""

import importlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmseg.registry import MODELS

from proxyclip.models import registry
from proxyclip.models.attention import build_strategy
from proxyclip.models.refine import build_refine_steps
from proxyclip.models.vfm import resolve_vfm_spec
from proxyclip.models.weights.catalogue import expand_clip_name
from proxyclip.utils.paths import path_exists

BASE_SEGMENTOR = "ProxyCLIPSegmentation"


class IncompatibleComponents(ValueError):
    """Combination of known components that do not go together."""


def parse_vfm_spec(text: str) -> dict[str, Any] | None:
    """Parse a --vfm value into a `vfm_model` dict.

    Forms: `dino`, `dino-s16`, `dino,MODEL`, `mae,FILE`, `my/own.py`, or `none`.

    Raises:
        ValueError: unknown family or size, or two models; the message lists the known ones.
    """
    name, *parts = text.split(",")
    if text == "none":
        return None
    spec = {"type": name} if registry.is_plugin_file(name) else resolve_vfm_spec(name)
    registry.load_plugin_class("vfm", spec["type"])
    for part in parts:
        is_file = part.endswith((".pth", ".pt", ".safetensors", ".bin")) or (path_exists(part) and Path(part).is_file())
        key = "checkpoint" if is_file else "model"
        if key in spec:
            raise ValueError(f"--vfm {text}: expected one {key}, but got {spec[key]!r} and {part!r}")
        spec[key] = part
    return spec


def parse_clip_spec(text: str, model: Mapping[str, Any]) -> dict[str, Any]:
    """Parse a --clip value into `model_type` and `clip_type`.

    Forms: `NAME`, `NAME,TAG`, `NAME,FILE`, `local-dir:FOLDER`. Without a tag, a name that `model` has already keeps its
    weights; another one gets its default ones.

    Raises:
        IncompatibleComponents: a model that cannot be opened; the message has the reason.
        ValueError: unknown name, or no weights by default; the message lists names or tags.
    """
    from proxyclip.models.clip.loading import canonical_clip_name, check_clip_supported, default_clip_tag

    name, _, weights = expand_clip_name(text).partition(",")
    if ":" in name:
        return dict(model_type=name, clip_type=weights or None)
    name = canonical_clip_name(name)
    try:
        check_clip_supported(name)
    except TypeError as error:
        raise IncompatibleComponents(f"--clip {text}: {error}") from error
    try:
        is_same = canonical_clip_name(model.get("model_type") or "") == name
    except ValueError:  # the name of the config is none of open_clip's
        is_same = False
    clip_type = weights or (model.get("clip_type") if is_same else default_clip_tag(name))
    if not clip_type:
        from open_clip import list_pretrained_tags_by_model

        tags = ", ".join(list_pretrained_tags_by_model(name)) or "none of its own"
        raise ValueError(f"--clip {text}: expected {name},TAG or {name},FILE; its tags are {tags}")
    return dict(model_type=name, clip_type=clip_type)


def find_segmentor_class(type_name: str) -> Any:
    """Find the class of `model.type`, in a file or registered; None if unknown."""
    if registry.is_plugin_file(type_name):
        return registry.load_plugin_class("methods", type_name)
    for name in registry.list_plugins("methods"):
        importlib.import_module(f"{registry.PLUGIN_PACKAGES['methods']}.{name}")
    return MODELS.get(type_name)


def resolve_model_type(model: Mapping[str, Any]) -> dict[str, Any]:
    """Replace a file as the `type` of a model by its class, for a registry."""
    is_file = isinstance(model["type"], str) and registry.is_plugin_file(model["type"])
    return {**model, "type": find_segmentor_class(model["type"])} if is_file else dict(model)


@dataclass(frozen=True)
class MethodInfo:
    """Method of a model, by what the classes of its config declare.

    Attributes:
        name: what tables call it: the `method` of the segmentor, or of its attention where that is None; the name of
            the class where it sets none of its own. None for an unknown segmentor.
        cls: the segmentor class; None for an unknown one.
        guided: True if it needs a VFM, False if it takes none, None if it works with and without or is unknown.
        needs_checkpoint: True if it has weights that train.py made.
        uses_trained_code: True if code of trained models takes part: a trained model, or a teacher evaluated alone.
        takes_components: True if the config chooses CLIP, VFM and attention, as for `ProxyCLIPSegmentation`.
        attention: spec of the attention that is used; None where the segmentor has its own.
    """

    name: str | None
    cls: Any
    guided: bool | None
    needs_checkpoint: bool
    uses_trained_code: bool
    takes_components: bool
    attention: Any = None

    @property
    def names_weights(self) -> bool:
        """True if its config names weights as --clip and --vfm do; the user's own class may mean something else."""
        return self.takes_components or self.needs_checkpoint


def describe_method(model: Mapping[str, Any]) -> MethodInfo:
    """Describe the method of a config's `model`.

    Raises:
        ValueError: an unknown attention; the message lists the known ones. FileNotFoundError: no such file.
    """
    cls = find_segmentor_class(model["type"])
    takes_components = inspect.isclass(cls) and issubclass(cls, find_segmentor_class(BASE_SEGMENTOR))
    name = _own_method(cls)
    guided = getattr(cls, "guided", None)
    attention = None
    if takes_components and name is None:
        attention = model.get("attention") or cls.default_attention
        default = "proxy" if model.get("vfm_model") else "vanilla"
        strategy = registry.load_plugin_class("attention", _component_type(attention or default))
        name = _own_method(strategy)
        guided = guided if guided is not None or not attention else getattr(strategy, "guided", None)
    needs_checkpoint = bool(getattr(cls, "trained", False))
    uses_trained_code = needs_checkpoint or bool(getattr(cls, "uses_trained_code", False))
    return MethodInfo(name, cls, guided, needs_checkpoint, uses_trained_code, takes_components, attention)


def _own_method(cls: Any) -> str | None:
    """Return the `method` of the class itself, not of a base, else its name."""
    return None if cls is None else vars(cls).get("method", cls.__name__)


def component_names(
    model: Mapping[str, Any], name: str | None, vfm: str | None = None, clip: str | None = None
) -> tuple[str, str, str]:
    """Method, VFM and CLIP of a model as a table shows them.

    Args:
        name: of the method (see `MethodInfo`).
        vfm, clip: values of --vfm and --clip; None takes those of `model`.
    """
    vfm = vfm or (_component_type(model["vfm_model"]) if model.get("vfm_model") else "none")
    clip = clip or ",".join(filter(None, (model.get("model_type"), model.get("clip_type"))))
    vfm, clip = (re.sub(r"(?<=local-dir:)[^,]*/", "", text) for text in (vfm, clip))  # only the folder's own name
    return name or "-", vfm, clip


def check_combination(model: Mapping[str, Any], method: MethodInfo) -> None:
    """Refuse unknown components, unknown options, and a wrong combination.

    Raises:
        IncompatibleComponents: a VFM for a method without one, or the other way round.
        ValueError, TypeError: unknown parts and options.
    """
    if not method.takes_components:
        return
    has_vfm = model.get("vfm_model") is not None
    if method.guided is False and has_vfm:
        vfm = _component_type(model["vfm_model"])
        raise IncompatibleComponents(
            f"{method.name} uses no VFM, but got {vfm}: leave out --vfm, or set vfm_model=None (--vfm none)"
        )
    if method.guided and not has_vfm:
        raise IncompatibleComponents(f"{method.name} needs a VFM, but vfm_model is None: say --vfm dino, for one")
    build_strategy(method.attention or model.get("attention"), has_vfm)
    build_refine_steps(model.get("refine"))
    if has_vfm:
        registry.check_plugin_spec("vfm", resolve_vfm_spec(model["vfm_model"]))


def _component_type(part: Any) -> str:
    return str(part.get("type")) if isinstance(part, Mapping) else str(part)
