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


def apply_method(cfg: Config, path: Path) -> None:
    """Put the `model` of a method file over the model of `cfg`.

    Plain values and None replace; a dict of another `type`, or with `_delete_=True`, replaces; other dicts merge.
    """
    _overlay(cfg.model, Config.fromfile(path).model)


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
    """Compare the names in `cfg.model` with the constructor of the model, which must be registered by now.

    Raises:
        ValueError: a name the constructor does not have; the message has the closest one.
    """
    from mmseg.registry import MODELS

    built = MODELS.get(cfg.model.get("type", ""))
    if built is None:
        return  # building it will say so
    parameters = inspect.signature(built).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for name in cfg.model:
        if name != "type" and name not in parameters:
            raise ValueError(f"{built.__name__} has no argument {name!r}{_close(name, parameters)}")


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
