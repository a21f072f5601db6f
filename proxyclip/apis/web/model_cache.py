"""LRU cache of segmenters, shared by all sessions, and the models on offer."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from proxyclip.apis import Segmenter
from proxyclip.apis.build import BASE_CONFIG
from proxyclip.apis.web.settings import WebSettings
from proxyclip.data.class_lists.shared_texts import shorten_name
from proxyclip.engine.config.components import BASE_SEGMENTOR, IncompatibleComponents, component_names, describe_method
from proxyclip.engine.config.load import describe_method_file, merge_config
from proxyclip.engine.config.names import list_methods
from proxyclip.engine.config.options import TINYWORLD_CONFIG, EvalOptions
from proxyclip.models.attention import build_strategy
from proxyclip.models.registry import list_plugins, load_plugin_class

TUNABLE_PARAMS = ("beta", "gamma")
NO_VFM = "none"
TINYWORLD_VFMS = ("tiny", "tiny-mae", "clip", NO_VFM)


@dataclass(frozen=True)
class ModelChoice:
    """Method and VFM; `tiny`: of the tiny world, not of the command line's config."""

    method: str
    vfm: str
    tiny: bool = False


@dataclass(frozen=True)
class AvailableModels:
    """Methods and VFMs on offer, and the first selection."""

    methods: tuple[str, ...]
    vfms: tuple[str, ...]
    first: ModelChoice


def is_tinyworld_only(settings: WebSettings) -> bool:
    """Return True if the page has the tiny world only."""
    return settings.tiny or Path(settings.config or BASE_CONFIG).name == Path(TINYWORLD_CONFIG).name


class ModelCache:
    """LRU cache of segmenters by method and VFM, loaded on first use.

    Args:
        settings: config, clip, device and precision of all of them.
        max_size: maximum number of loaded models.
        on_evict: called with the model that is dropped, before the next is loaded.
    """

    def __init__(
        self, settings: WebSettings, max_size: int = 3, on_evict: Callable[[ModelChoice], None] = lambda _: None
    ) -> None:
        self.settings = settings
        self.max_size = max_size
        self.on_evict = on_evict
        self.lock = threading.RLock()
        self._config_lock = threading.RLock()
        self._loaded: OrderedDict[ModelChoice, Segmenter] = OrderedDict()
        self._offers: dict[bool, AvailableModels] = {}

    def list_available(self, tiny: bool = False) -> AvailableModels:
        """Return the methods and VFMs of the command line's config, or of the tiny world."""
        tiny = tiny or is_tinyworld_only(self.settings)
        if tiny not in self._offers:
            with self._config_lock:
                self._offers[tiny] = self._offer(tiny)
        return self._offers[tiny]

    def segmenter(self, choice: ModelChoice) -> Segmenter:
        """Return a segmenter with own classes and parameters, and shared networks.

        Raises:
            Unfit, ValueError: not on offer, or a method and a VFM that do not go together. WeightsError: weights that
                are not on this machine and cannot be fetched.
        """
        self.check(choice)
        with self.lock:
            if choice not in self._loaded:
                while len(self._loaded) >= self.max_size:
                    self.on_evict(self._loaded.popitem(last=False)[0])
                settings = self.settings
                options: dict[str, Any] = dict(refine=[*settings.refine]) if settings.refine else {}
                options |= dict(device=settings.device, precision=settings.precision)
                self._loaded[choice] = Segmenter(**self._choice_arguments(choice), **options)
            self._loaded.move_to_end(choice)
            return self._loaded[choice].fork()

    def fit_vfm(self, method: str, vfm: str, tiny: bool = False) -> str:
        """Return the VFM for a method: none if it uses none, else this or the first one."""
        if method not in self.list_available(tiny).methods:
            return vfm
        needs_vfm = describe_method_file(method).guided
        if needs_vfm is False:
            return NO_VFM
        if needs_vfm and vfm == NO_VFM:
            offer = self.list_available(tiny)
            return next(name for name in (offer.first.vfm, *offer.vfms) if name != NO_VFM)
        return vfm

    def tunable(self, choice: ModelChoice) -> dict[str, float]:
        """Return proxy attention's parameters and first values, without loading.

        There are none for a method and a VFM that do not go together.
        """
        try:
            self.check(choice)
        except ValueError:
            return {}
        if (loaded := self._loaded.get(choice)) is not None:
            return {k: v for k, v in loaded.tunable.items() if k in TUNABLE_PARAMS}
        options = EvalOptions(**self._choice_arguments(choice) | dict(clip=None))
        with self._config_lock:  # not the models', which may be in use for seconds
            model = merge_config(options).model
        if model["type"] != BASE_SEGMENTOR:
            return {}
        params = {name: model[name] for name in TUNABLE_PARAMS}
        strategy = build_strategy(model.get("attention"), model.get("vfm_model") is not None, **params)
        return {name: getattr(strategy, name) for name in TUNABLE_PARAMS if hasattr(strategy, name)}

    def check(self, choice: ModelChoice) -> None:
        """Raise for a model that is not on offer, or whose parts do not fit together."""
        offer = self.list_available(choice.tiny)
        for kind, name, known in (("method", choice.method, offer.methods), ("VFM", choice.vfm, offer.vfms)):
            if name not in known:
                raise ValueError(
                    f"Expected a {kind} of the list, {', '.join(known)}, but got {shorten_name(str(name))}"
                )
        needs_vfm = describe_method_file(choice.method).guided
        if needs_vfm is False and choice.vfm != NO_VFM:
            raise IncompatibleComponents(
                f"{choice.method} works without a VFM, but {choice.vfm} is chosen: choose {NO_VFM!r}"
            )
        if needs_vfm and choice.vfm == NO_VFM:
            raise IncompatibleComponents(f"{choice.method} needs a VFM: choose another one than {NO_VFM!r}")

    def _offer(self, tiny: bool) -> AvailableModels:
        config, settings = self._world_settings(tiny)
        cfg = merge_config(EvalOptions(config, method=settings.method, vfm=settings.vfm))
        method, vfm, _ = component_names(cfg.model, describe_method(cfg.model).name, settings.vfm)
        vfms = TINYWORLD_VFMS if tiny else _list_vfms()
        first = ModelChoice(settings.method or method, vfm, tiny)
        return AvailableModels(_prepend_missing(first.method, list_methods()), _prepend_missing(vfm, vfms), first)

    def _choice_arguments(self, choice: ModelChoice) -> dict[str, Any]:
        """Arguments of `Segmenter`: the config, with another method or VFM if chosen."""
        first = self.list_available(choice.tiny).first
        config, settings = self._world_settings(choice.tiny)
        same_method = choice.method == first.method
        same_vfm = choice.vfm == first.vfm and (same_method or describe_method_file(choice.method).guided is True)
        return dict(
            config=config,
            clip=settings.clip,
            method=settings.method if same_method else choice.method,
            vfm=settings.vfm if same_vfm else choice.vfm,
        )

    def _world_settings(self, tiny: bool) -> tuple[str, WebSettings]:
        """Config and settings: those of the command line, or of the tiny world."""
        only = is_tinyworld_only(self.settings)
        settings = WebSettings() if tiny and not only else self.settings
        return settings.config or (TINYWORLD_CONFIG if tiny or only else BASE_CONFIG), settings


@cache
def _list_vfms() -> tuple[str, ...]:
    """List every VFM with its sizes, then none; those of the tiny world are left out."""
    names = []
    for family in list_plugins("vfm"):
        if family != "tiny":
            sizes = getattr(load_plugin_class("vfm", family), "variants", {})
            names += [family, *(f"{family}-{size}" for size in sizes)]
    return (*names, NO_VFM)


def _prepend_missing(name: str, known: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return tuple(known) if name in known else (name, *known)
