"""Changes to a loaded config: a method's model, `key=value` words, and the check that every name fits."""

from __future__ import annotations

import argparse
import difflib
import inspect
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict, DictAction
from mmengine.runner import Runner

from proxyclip.choices import segmentor


def apply_method(cfg: Config, path: Path) -> None:
    """Put the `model` of a method file over the model of `cfg`.

    Plain values and None replace; a dict of another `type`, or with `_delete_=True`, replaces; other dicts merge. So
    another `type` of the model itself keeps the model's other arguments.

    Raises:
        ValueError: the file says anything but a model.
    """
    method = Config.fromfile(path)
    if set(method) - {"custom_imports"} != {"model"}:
        raise ValueError(f"Expected {path} to set `model` and nothing else, but it sets {sorted(method) or 'nothing'}")
    _overlay(cfg.model, method.model)


def put(cfg: Config, **values: Any) -> None:
    """Set arguments of the model; unlike `update`, which merges dicts, this replaces them whole."""
    for name, value in values.items():
        cfg.model[name] = value


def override(cfg: Config, words: Iterable[str]) -> None:
    """Apply `key.sub=value` words; a new `type` inside the model drops the arguments of the old one.

    Raises:
        ValueError: no '=', or a key that fits nothing in the config; the message has the closest names.
    """
    words = list(words)
    bare = [word for word in words if "=" not in word]
    if bare:
        raise ValueError(f"Expected --cfg-options as key=value, but got {bare[0]!r}")
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--words", nargs="*", action=DictAction)
    changes = parser.parse_args(["--words", *words]).words if words else {}
    for key, value in changes.items():
        parent, leaf = _parent(cfg, key)
        inside_model = key.startswith("model.") and key.count(".") > 1
        if inside_model and leaf == "type" and parent.get("type") != value:
            parent.clear()
    cfg.merge_from_dict(changes)


def check_model_arguments(cfg: Config) -> None:
    """Compare the names in `cfg.model` with the constructor of the model and, where it takes `**options`, of its bases.

    Raises:
        ValueError: a name the constructor does not have; the message has the closest one.
    """
    built = segmentor(cfg.model.get("type", ""))
    known = [] if built is None else _arguments(built)
    if not known:
        return  # building it will say so
    for name in cfg.model:
        if name != "type" and name not in known:
            raise ValueError(f"{built.__name__} has no argument {name!r}{_close(name, known)}")


def _arguments(cls: type) -> list[str]:
    """Names of the arguments of a class, those that it hands on to its bases included; none if anything goes."""
    found: list[str] = []
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        found += [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            return found
    return []


def _overlay(base: MutableMapping, change: Mapping) -> None:
    for key, value in change.items():
        old = base.get(key)
        if not isinstance(value, Mapping):
            base[key] = value
            continue
        value = dict(value)
        delete = value.pop("_delete_", False)
        if not delete and isinstance(old, MutableMapping) and value.get("type", old.get("type")) == old.get("type"):
            _overlay(old, value)
        else:
            base[key] = ConfigDict(value)


def _parent(cfg: Config, key: str) -> tuple[Any, str]:
    *path, leaf = key.split(".")
    node: Any = cfg
    for depth, part in enumerate(path):
        node = _child(node, part, key, ".".join(path[:depth]))
    if isinstance(node, (list, tuple)):
        _child(node, leaf, key, ".".join(path))
    elif node is cfg:
        known = [*cfg.keys(), *inspect.signature(Runner).parameters]
        if leaf not in known:
            raise ValueError(f"--cfg-options {key}: the config has no {leaf!r}{_close(leaf, known)}")
    elif not isinstance(node, Mapping):
        raise ValueError(f"--cfg-options {key}: {'.'.join(path)} is {node!r} and has no parts")
    return node, leaf


def _child(node: Any, part: str, key: str, where: str) -> Any:
    if isinstance(node, (list, tuple)):
        if part.isdigit() and int(part) < len(node):
            return node[int(part)]
        raise ValueError(f"--cfg-options {key}: {where} is a list of {len(node)}, expected an index, got {part!r}")
    names = list(node.keys()) if isinstance(node, (Mapping, Config)) else []
    if part in names:
        return node[part]
    raise ValueError(f"--cfg-options {key}: {where or 'the config'} has no {part!r}{_close(part, names)}")


def _close(name: str, known: Iterable[str]) -> str:
    known = sorted(set(known) - {"self", "type"})
    guess = difflib.get_close_matches(name, known, n=3)
    return f": did you mean {' or '.join(guess)}?" if guess else f"; it has {', '.join(known) or 'nothing'}"
