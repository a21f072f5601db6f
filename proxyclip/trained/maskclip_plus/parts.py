"""Parts of a student are named as MMSegmentation's configs name them: `dict(type=..., **options)`."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

import mmseg.models  # noqa: F401  fills the registry
from mmseg.registry import MODELS

from ... import plugins

ROOM = "trained.maskclip_plus"


def resolve(part: str, config: dict[str, Any]) -> tuple[type, dict[str, Any]]:
    """The class of a part of a student, and the options that the config says.

    Args:
        part: what it is, for messages.
        config: `dict(type=..., **options)`; `type` is a name of MMSegmentation's registry, or a file my/own.py that
            defines one public class.

    Raises:
        ValueError: no such type; the message has close ones. FileNotFoundError: no such file.
        TypeError: an option that the class does not have; the message lists its options.
    """
    options = dict(config)
    name = options.pop("type", None)
    cls = plugins.load(ROOM, name) if plugins.is_file(name) else MODELS.get(name) if isinstance(name, str) else None
    if cls is None:
        close = difflib.get_close_matches(str(name), list(MODELS.module_dict), 3, 0.5)
        hint = f"; close ones are {', '.join(close)}" if close else ""
        raise ValueError(
            f"Expected student.{part}=dict(type=..., ...) with a type of MMSegmentation or a file my/own.py, but got "
            f"type {name!r}{hint}"
        )
    accepted = options_of(cls)
    wrong = sorted(set(options) - set(accepted))
    if wrong:
        raise TypeError(f"The student's {part} {cls.__name__!r} has no option {wrong}; its options are {accepted}")
    return cls, options


def options_of(cls: type) -> list[str]:
    """Names of the arguments of a class, those of its parents included where it passes `**kwargs` on."""
    found: dict[str, None] = {}
    for parent in cls.__mro__:
        own = vars(parent).get("__init__")
        if own is None:
            continue
        parameters = list(inspect.signature(own).parameters.values())[1:]
        found |= {p.name: None for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return list(found)
