"""Plug-in classes by file name.

`load_plugin_class("attention", "proxy")` returns the one public class of attention/proxy.py. There is no list: a new
method is a new file in its folder, or elsewhere and named by its path. Names that begin with `_` are shared parts.
"""

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from proxyclip.utils.hashing import hash_value
from proxyclip.utils.paths import ROOT, find_existing_path
from proxyclip.utils.suggest import closest_match

# Types of plug-ins, as configs and messages name them -> packages with the files.
PLUGIN_PACKAGES = {
    "attention": "proxyclip.models.attention",
    "vfm": "proxyclip.models.vfm",
    "refine": "proxyclip.models.refine",
    "methods": "proxyclip.models.segmentors",
    "trained.maskclip_plus": "proxyclip.models.trained.maskclip_plus",
}


def list_plugins(folder: str) -> list[str]:
    """List the names that `load_plugin_class` accepts, besides paths."""
    package = ROOT.joinpath(*PLUGIN_PACKAGES[folder].split("."))
    return sorted(path.stem for path in package.glob("*.py") if not path.stem.startswith("_"))


def is_plugin_file(name: Any) -> bool:
    """Return True if a plug-in's name is the path of its file."""
    return isinstance(name, str) and name.endswith(".py")


def load_plugin_class(folder: str, name: str) -> type:
    """Import the public class of a plug-in file.

    Args:
        folder: a key of `PLUGIN_PACKAGES`.
        name: stem of a file of that folder, or path of any file that ends in .py.

    Raises:
        ValueError: unknown name; the message lists the valid ones. FileNotFoundError: no such file.
        TypeError: the file does not define one public class.
    """
    if is_plugin_file(name):
        module = _load_plugin_file(folder, find_existing_path(name, f"{folder} plug-in").resolve())
    else:
        names = list_plugins(folder)
        if name not in names:
            closest = closest_match(name, names)
            hint = f" Did you mean {closest!r}?" if closest else ""
            raise ValueError(f"Expected one of {names} for {folder}, or a file my/own.py, but got {name!r}.{hint}")
        module = importlib.import_module(f"{PLUGIN_PACKAGES[folder]}.{name}")
    classes = [
        value
        for key, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and not key.startswith("_")
    ]
    if len(classes) != 1:
        names = [cls.__name__ for cls in classes]
        raise TypeError(f"{module.__file__} must define one public class, but defines {names}")
    return classes[0]


def _load_plugin_file(folder: str, path: Path) -> ModuleType:
    """Import a file, again if it changed, as a module named by its path."""
    name = f"proxyclip_plugin_{hash_value(str(path))[:12]}_{path.stem}"
    source = path.read_text(encoding="utf-8")
    module = sys.modules.get(name)
    if module is None or vars(module)["__source__"] != source:
        module = ModuleType(name)
        vars(module).update(__file__=str(path), __package__=PLUGIN_PACKAGES[folder], __source__=source)
        sys.modules[name] = module  # dataclasses look up their module while they are made
        try:
            exec(compile(source, path, "exec", dont_inherit=True), vars(module))
        except BaseException:
            del sys.modules[name]
            raise
    return module


def check_plugin_spec(folder: str, spec: str | dict[str, Any]) -> tuple[type, dict[str, Any]]:
    """Return the class of a spec, and the spec's options.

    Raises:
        ValueError: unknown or missing name. TypeError: unknown option; the message lists the options.
    """
    options = {"type": spec} if isinstance(spec, str) else dict(spec)
    if "type" not in options:
        raise ValueError(
            f"Expected {folder}=dict(type=..., ...) with type one of {list_plugins(folder)}, but got {spec!r}"
        )
    cls = load_plugin_class(folder, options.pop("type"))
    accepted = list_constructor_arguments(cls)
    unknown = sorted(set(options) - set(accepted))
    if unknown:
        raise TypeError(f"{folder} {cls.__name__!r} has no option {unknown}; its options are {accepted}")
    return cls, options


def build_plugin(folder: str, spec: str | dict[str, Any], **defaults: Any) -> Any:
    """Build a plug-in from its name or from `dict(type=name, **options)`.

    `defaults` are used for options that the plug-in has and `spec` leaves out.

    Raises:
        ValueError: unknown name. TypeError: unknown option; the message lists the options.
    """
    cls, options = check_plugin_spec(folder, spec)
    accepted = list_constructor_arguments(cls)
    return cls(**{key: value for key, value in defaults.items() if key in accepted} | options)


def list_constructor_arguments(cls: type) -> list[str]:
    """List the constructor arguments of a class, and of bases that get its `**kwargs`."""
    names: dict[str, None] = {}
    for parameters in _iter_constructors(cls):
        names |= {p.name: None for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    return list(names)


def accepts_any_argument(cls: type) -> bool:
    """Return True if all bases take `**kwargs`, so that any name can be an argument."""
    return all(any(p.kind is p.VAR_KEYWORD for p in parameters) for parameters in _iter_constructors(cls))


def _iter_constructors(cls: type) -> Iterator[list[inspect.Parameter]]:
    """Yield constructor parameters along the bases, to the first without `**kwargs`."""
    for parent in cls.__mro__:
        constructor = vars(parent).get("__init__", vars(parent).get("__new__"))  # a named tuple has the latter
        if constructor is None:
            continue
        parameters = list(inspect.signature(constructor).parameters.values())[1:]  # without self
        yield parameters
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return
