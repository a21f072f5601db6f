"""Strategies and encoders are found by file name: `load("attention", "proxy")` -> the one class of attention/proxy.py.

There is no list to keep: a new method is a new file in its folder. Files that begin with `_` hold shared parts.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def known(folder: str) -> list[str]:
    """Names that `load(folder, name)` accepts."""
    return sorted(p.stem for p in (HERE / folder).glob("*.py") if not p.stem.startswith("_"))


def load(folder: str, name: str) -> type:
    """The public class defined in `proxyclip/<folder>/<name>.py`.

    Raises:
        ValueError: no such file; the message lists the known names.
    """
    names = known(folder)
    if name not in names:
        close = difflib.get_close_matches(str(name), names, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"Expected one of {names} for {folder}, but got {name!r}.{hint}")
    module = importlib.import_module(f"proxyclip.{folder}.{name}")
    own = [
        c
        for n, c in vars(module).items()
        if inspect.isclass(c) and c.__module__ == module.__name__ and not n.startswith("_")
    ]
    if len(own) != 1:
        raise TypeError(f"{module.__name__} must define one public class, but defines {[c.__name__ for c in own]}")
    return own[0]


def build(folder: str, spec: str | dict[str, Any], **defaults: Any) -> Any:
    """An instance of a plug-in from its name or from `dict(type=name, **options)`.

    `defaults` are used for options that the plug-in has and `spec` leaves out.

    Raises:
        ValueError: unknown name. TypeError: unknown option; the message lists the options.
    """
    options = {"type": spec} if isinstance(spec, str) else dict(spec)
    if "type" not in options:
        raise ValueError(f"Expected {folder}=dict(type=..., ...) with type one of {known(folder)}, but got {spec!r}")
    cls = load(folder, options.pop("type"))
    accepted = [p for p in inspect.signature(cls).parameters if p != "self"]
    wrong = sorted(set(options) - set(accepted))
    if wrong:
        raise TypeError(f"{folder} {cls.__name__!r} has no option {wrong}; its options are {accepted}")
    return cls(**{k: v for k, v in defaults.items() if k in accepted} | options)
