"""Which models the page offers, and those it has loaded: at most three, shared by everybody who has the page open."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .. import choices, configs, plugins
from ..api import Segmenter
from ..api.load import REAL, TINY
from ..attention import build_strategy
from .settings import Settings

MOST = 3
TUNED = ("beta", "gamma")
NONE = "none"
TINY_VFMS = ("tiny", "tiny-mae", "clip", NONE)


@dataclass(frozen=True)
class Choice:
    """A method and a VFM, in the words of --method and --vfm; `tiny` is the embedded toy instead of the own config."""

    method: str
    vfm: str
    tiny: bool = False


@dataclass(frozen=True)
class Offer:
    """What can be chosen, and what is chosen at first."""

    methods: tuple[str, ...]
    vfms: tuple[str, ...]
    first: Choice


def is_tiny(settings: Settings) -> bool:
    """Whether the page knows the embedded toy world only."""
    return settings.tiny or Path(settings.config or REAL).name == Path(TINY).name


class Models:
    """Segmenters by method and VFM, loaded when they are first asked for; the one longest unused goes first.

    Args:
        settings: config, clip, device and precision of all of them.
        most: how many are kept.
        dropped: is told which one goes, before the next is loaded.
    """

    def __init__(self, settings: Settings, most: int = MOST, dropped: Callable[[Choice], None] | None = None) -> None:
        self.settings, self.most, self.dropped = settings, most, dropped
        self.lock = threading.RLock()
        self._loaded: OrderedDict[Choice, Segmenter] = OrderedDict()
        self._offers: dict[bool, Offer] = {}

    def offer(self, tiny: bool = False) -> Offer:
        """The methods and VFMs of the own config, or of the toy world."""
        tiny = tiny or is_tiny(self.settings)
        with self.lock:
            if tiny not in self._offers:
                self._offers[tiny] = self._offer(tiny)
            return self._offers[tiny]

    def segmenter(self, choice: Choice) -> Segmenter:
        """A segmenter of this method and VFM with words and numbers of its own; its networks are shared.

        Raises:
            Unfit, ValueError: not on offer, or a method and a VFM that do not go together. WeightsError: weights that
                are not on this machine and cannot be fetched.
        """
        self.check(choice)
        with self.lock:
            if choice not in self._loaded:
                while len(self._loaded) >= self.most:
                    gone, _ = self._loaded.popitem(last=False)
                    if self.dropped:
                        self.dropped(gone)
                self._loaded[choice] = self._load(choice)
            self._loaded.move_to_end(choice)
            return self._loaded[choice].fork()

    def fitting(self, method: str, vfm: str, tiny: bool = False) -> str:
        """The VFM that goes with a method: none where it uses none, the first on offer where it lacks one."""
        if method not in self.offer(tiny).methods:
            return vfm
        needs = configs.describe_method_file(method).guided
        if needs is False:
            return NONE
        return self._needed(tiny) if needs and vfm == NONE else vfm

    def tunable(self, choice: Choice) -> dict[str, float]:
        """Proxy attention's numbers and their first values; told without loading anything, none of other methods."""
        with self.lock:
            if choice in self._loaded:
                return {k: v for k, v in self._loaded[choice].tunable.items() if k in TUNED}
            said = self._words(choice)
            model = configs.merged(configs.Options(**{k: v for k, v in said.items() if k != "clip"})).model
        if model["type"] != choices.BASE:
            return {}
        numbers = {name: model[name] for name in TUNED}
        strategy = build_strategy(model.get("attention"), model.get("vfm_model") is not None, **numbers)
        return {name: getattr(strategy, name) for name in TUNED if hasattr(strategy, name)}

    def check(self, choice: Choice) -> None:
        """Refuse what is not on offer, which a browser could send all the same, and what does not go together."""
        offer = self.offer(choice.tiny)
        for kind, word, known in (("method", choice.method, offer.methods), ("VFM", choice.vfm, offer.vfms)):
            if word not in known:
                raise ValueError(f"Expected a {kind} of the list, {', '.join(known)}, but got {word!r}")
        needs = configs.describe_method_file(choice.method).guided
        if needs is False and choice.vfm != NONE:
            raise choices.Unfit(f"{choice.method} works without a VFM, but {choice.vfm} is chosen: choose {NONE!r}")
        if needs and choice.vfm == NONE:
            raise choices.Unfit(f"{choice.method} needs a VFM: choose another one than {NONE!r}")

    def _offer(self, tiny: bool) -> Offer:
        own = self._own(tiny)
        cfg = configs.merged(configs.Options(self._config(tiny), method=own.method, vfm=own.vfm))
        method, vfm, _ = choices.component_names(cfg.model, choices.describe_method(cfg.model).name, own.vfm)
        methods, vfms = configs.methods(), TINY_VFMS if tiny else _families()
        first = Choice(own.method or method, vfm, tiny)
        return Offer(_with(first.method, methods), _with(vfm, vfms), first)

    def _load(self, choice: Choice) -> Segmenter:
        settings = self.settings
        more: dict[str, Any] = dict(refine=[*settings.refine]) if settings.refine else {}
        return Segmenter(**self._words(choice), device=settings.device, precision=settings.precision, **more)

    def _words(self, choice: Choice) -> dict[str, Any]:
        """The first choice is the config as it is; of another, what is said replaces what the config says."""
        first, own = self.offer(choice.tiny).first, self._own(choice.tiny)
        same = choice.method == first.method
        keep = choice.vfm == first.vfm and (same or configs.describe_method_file(choice.method).guided is True)
        return dict(
            config=self._config(choice.tiny),
            clip=own.clip,
            method=own.method if same else choice.method,
            vfm=own.vfm if keep else choice.vfm,
        )

    def _needed(self, tiny: bool) -> str:
        offer = self.offer(tiny)
        return next(word for word in (offer.first.vfm, *offer.vfms) if word != NONE)

    def _own(self, tiny: bool) -> Settings:
        """What the command line says, or nothing of the toy world beside another config."""
        return self.settings if tiny == is_tiny(self.settings) else Settings()

    def _config(self, tiny: bool) -> str:
        if tiny and not (self.settings.config and is_tiny(self.settings)):
            return TINY
        return self.settings.config or REAL


@cache
def _families() -> tuple[str, ...]:
    """Every VFM with its sizes, then none; those of the toy world are left out."""
    found = []
    for family in plugins.known("vfm"):
        if family != "tiny":
            sizes = getattr(plugins.load("vfm", family), "variants", {})
            found += [family, *(f"{family}-{size}" for size in sizes)]
    return (*found, NONE)


def _with(word: str, known: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return tuple(known) if word in known else (word, *known)
