"""Changes to a config by a method file or `key=value`, and checks of names."""

import argparse
import inspect
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict, DictAction
from mmengine.runner import Runner

from proxyclip.engine.config.components import BASE_SEGMENTOR, find_segmentor_class
from proxyclip.engine.config.own_code import get_code_roots, keep_code_roots
from proxyclip.engine.config.reading import read_config
from proxyclip.models.registry import accepts_any_argument, list_constructor_arguments
from proxyclip.utils.suggest import did_you_mean


def apply_method_file(cfg: Config, path: Path) -> None:
    """Merge the `model` of a method file over the model of `cfg`.

    Plain values and None replace; a dict of another `type`, or with `_delete_=True`, replaces; other dicts merge. So
    another `type` of the model itself keeps the model's other arguments, less the options of the method that it was.
    An attention alone is put into the base segmentor where the model's own type is another method.

    Raises:
        ValueError: the file sets anything but a model.
    """
    method = read_config(path)
    if set(method) - {"custom_imports"} != {"model"}:
        raise ValueError(f"Expected {path} to set `model` and nothing else, but it sets {sorted(method) or 'nothing'}")
    keep_code_roots(cfg, get_code_roots(method))
    changes = dict(method.model)
    old_class = find_segmentor_class(cfg.model.type)
    if _is_method_of_base(old_class):
        if changes.get("attention"):
            changes.setdefault("type", BASE_SEGMENTOR)
        _drop_method_options(cfg.model, old_class, changes.get("type"))
    _overlay(cfg.model, changes)


def set_model_args(cfg: Config, **values: Any) -> None:
    """Set arguments of the model; dicts are replaced whole, not merged."""
    for name, value in values.items():
        cfg.model[name] = value


def apply_cfg_options(cfg: Config, assignments: Iterable[str]) -> None:
    """Apply `key.sub=value`; a new `type` inside the model drops the old arguments.

    Raises:
        ValueError: no '=', a key that fits nothing in the config, or one that changes nothing; the message has the
            closest names.
    """
    assignments = list(assignments)
    without_value = [text for text in assignments if "=" not in text]
    if without_value:
        raise ValueError(f"Expected --cfg-options as key=value, but got {without_value[0]!r}")
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--changes", nargs="*", action=DictAction)
    changes = parser.parse_args(["--changes", *assignments]).changes if assignments else {}
    for key, value in changes.items():
        _refuse_copied(cfg, key)
        parent, leaf = _parent(cfg, key)
        if key.startswith("model.") and key.count(".") > 1 and leaf == "type" and parent.get("type") != value:
            parent.clear()
    cfg.merge_from_dict(changes)


def _refuse_copied(cfg: Config, key: str) -> None:
    """Refuse a change of `test_pipeline` and the like, of which a data set has its own copy."""
    name = key.partition(".")[0]
    loader = name.replace("_pipeline", "_dataloader")
    if name.endswith("_pipeline") and loader in cfg and "pipeline" in (cfg[loader].get("dataset") or {}):
        rest = key.removeprefix(name)
        raise ValueError(
            f"--cfg-options {key} would change nothing, since the data set has a copy of it: set "
            f"{loader}.dataset.pipeline{rest}"
        )


def check_model_arguments(cfg: Config) -> None:
    """Check the names in `cfg.model` against the constructor of the model.

    Raises:
        ValueError: a name the constructor does not have; the message has the closest one.
    """
    cls = find_segmentor_class(cfg.model.get("type", ""))
    if cls is None or accepts_any_argument(cls):
        return  # building it reports wrong names
    names = list_constructor_arguments(cls)
    for name in cfg.model:
        if name != "type" and name not in names:
            raise ValueError(f"{cls.__name__} has no argument {name!r}{_suggestion(name, names)}")


def _is_method_of_base(cls: Any) -> bool:
    """Return True if a class is the base segmentor's with a method of its own."""
    return (
        inspect.isclass(cls) and issubclass(cls, find_segmentor_class(BASE_SEGMENTOR)) and bool(vars(cls).get("method"))
    )


def _drop_method_options(model: MutableMapping, old_class: type, new_type: str | None) -> None:
    """Remove the arguments of `model` that its class has and the new one has not."""
    new_class = find_segmentor_class(new_type) if new_type else None
    if new_class is None or accepts_any_argument(new_class):
        return
    # The protocol of a method has options of it, such as ResCLIP's label_threshold, that mean nothing to another one.
    # A name that the old class has not either stays, and is refused as it would be without --method.
    for name in set(list_constructor_arguments(old_class)) - set(list_constructor_arguments(new_class)):
        model.pop(name, None)


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
        names = [*cfg.keys(), *inspect.signature(Runner).parameters]
        if leaf not in names:
            raise ValueError(f"--cfg-options {key}: the config has no {leaf!r}{_suggestion(leaf, names)}")
    elif not isinstance(node, Mapping):
        raise ValueError(f"--cfg-options {key}: {'.'.join(path)} is {node!r} and has no parts")
    return node, leaf


def _child(node: Any, part: str, key: str, parent: str) -> Any:
    if isinstance(node, (list, tuple)):
        if part.isdigit() and int(part) < len(node):
            return node[int(part)]
        raise ValueError(f"--cfg-options {key}: {parent} is a list of {len(node)}, expected an index, got {part!r}")
    names = list(node.keys()) if isinstance(node, (Mapping, Config)) else []
    if part in names:
        return node[part]
    raise ValueError(f"--cfg-options {key}: {parent or 'the config'} has no {part!r}{_suggestion(part, names)}")


def _suggestion(name: str, names: Iterable[str]) -> str:
    names = sorted(set(names) - {"self", "type"})
    matches = did_you_mean(name, names)
    return f": {matches}" if matches else f"; it has {', '.join(names) or 'nothing'}"
