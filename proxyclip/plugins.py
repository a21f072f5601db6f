"""Strategies and encoders are found by file name: `load("attention", "proxy")` -> the one class of attention/proxy.py.

There is no list to keep: a new method is a new file in its folder, or anywhere else and named by its path. Files of the
folders that begin with `_` hold shared parts.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from .paths import find

HERE = Path(__file__).parent


def known(folder: str) -> list[str]:
    """Names that `load(folder, name)` accepts, besides paths."""
    return sorted(p.stem for p in (HERE / folder).glob("*.py") if not p.stem.startswith("_"))


def is_file(name: Any) -> bool:
    """Whether a plug-in's name is the path of its file."""
    return isinstance(name, str) and name.endswith(".py")


def load(folder: str, name: str) -> type:
    """The public class defined in `proxyclip/<folder>/<name>.py`, or in the file `name` if that ends in .py.

    Raises:
        ValueError: no such name; the message lists the known ones. FileNotFoundError: no such file.
        TypeError: the file does not define just one public class.
    """
    if is_file(name):
        module = _module(folder, find(name, f"{folder} plug-in").resolve())
    else:
        names = known(folder)
        if name not in names:
            close = difflib.get_close_matches(str(name), names, 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"Expected one of {names} for {folder}, or a file my/own.py, but got {name!r}.{hint}")
        module = importlib.import_module(f"proxyclip.{folder}.{name}")
    own = [
        c
        for n, c in vars(module).items()
        if inspect.isclass(c) and c.__module__ == module.__name__ and not n.startswith("_")
    ]
    if len(own) != 1:
        raise TypeError(f"{module.__file__} must define one public class, but defines {[c.__name__ for c in own]}")
    return own[0]


def _module(folder: str, path: Path) -> ModuleType:
    """The module of a file, under a name that goes with its path, as if it lay in `folder`; read again when changed."""
    name = f"proxyclip_plugin_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{path.stem}"
    source = path.read_text(encoding="utf-8")
    module = sys.modules.get(name)
    if module is None or vars(module)["__source__"] != source:
        module = ModuleType(name)
        vars(module).update(__file__=str(path), __package__=f"proxyclip.{folder}", __source__=source)
        sys.modules[name] = module  # dataclasses look their module up while they are made
        try:
            exec(compile(source, path, "exec", dont_inherit=True), vars(module))
        except BaseException:
            del sys.modules[name]
            raise
    return module


def check(folder: str, spec: str | dict[str, Any]) -> tuple[type, dict[str, Any]]:
    """The class of a spec and the options it says.

    Raises:
        ValueError: unknown name, or none. TypeError: unknown option; the message lists the options.
    """
    options = {"type": spec} if isinstance(spec, str) else dict(spec)
    if "type" not in options:
        raise ValueError(f"Expected {folder}=dict(type=..., ...) with type one of {known(folder)}, but got {spec!r}")
    cls = load(folder, options.pop("type"))
    accepted = _accepted(cls)
    wrong = sorted(set(options) - set(accepted))
    if wrong:
        raise TypeError(f"{folder} {cls.__name__!r} has no option {wrong}; its options are {accepted}")
    return cls, options


def build(folder: str, spec: str | dict[str, Any], **defaults: Any) -> Any:
    """An instance of a plug-in from its name or from `dict(type=name, **options)`.

    `defaults` are used for options that the plug-in has and `spec` leaves out.

    Raises:
        ValueError: unknown name. TypeError: unknown option; the message lists the options.
    """
    cls, options = check(folder, spec)
    return cls(**{k: v for k, v in defaults.items() if k in _accepted(cls)} | options)


def _accepted(cls: type) -> list[str]:
    return [p for p in inspect.signature(cls).parameters if p != "self"]
