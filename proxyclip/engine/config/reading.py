"""Reading of config files; environment variables in them may have any value."""

import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from proxyclip.engine.config.own_code import find_code_roots, keep_code_roots
from proxyclip.utils.paths import ROOT
from proxyclip.utils.system import temporary_environment

DATA_ROOT_VARIABLE = "DATA_ROOT"  # environment variable that configs read their data folder from
REPOSITORY_VARIABLE = "PROXYCLIP"  # set while configs are read: those outside the repository find their base with it

_environment_lock = threading.RLock()  # threads of the page read configs at once


def read_config(path: Path, data_root: str | None = None) -> Config:
    """Read a config file.

    MMEngine puts the values of `{{$NAME:default}}` into the source of a config by a regular expression, where a
    backslash, a quote or a line break of a folder's name changes the code. Such values are put in afterwards.

    Args:
        data_root: value of DATA_ROOT; None: that of the environment.
    """
    if not os.environ.get(DATA_ROOT_VARIABLE):
        os.environ.pop(DATA_ROOT_VARIABLE, None)  # MMEngine takes an empty variable for a missing one without default
    values = {REPOSITORY_VARIABLE: str(ROOT), DATA_ROOT_VARIABLE: data_root or os.environ.get(DATA_ROOT_VARIABLE)}
    named = re.findall(r"\{\{['\"]?\s*\$(\w+)\s*:", path.read_text(encoding="utf-8", errors="replace"))
    values |= {name: os.environ[name] for name in named if name in os.environ and name not in values}
    marks = {name: f"value_of_{name}" for name, value in values.items() if value and not _is_plain(value)}
    with _environment_lock, temporary_environment({name: value or None for name, value in values.items()} | marks):
        cfg = Config.fromfile(path)
    roots = find_code_roots(cfg)
    if marks:
        replaced = _replace_marks(cfg.to_dict(), {mark: str(values[name]) for name, mark in marks.items()})
        cfg = Config(replaced, filename=cfg.filename)
    keep_code_roots(cfg, roots)
    return cfg


def _is_plain(value: str) -> bool:
    """Return True if a value means itself in a replacement of `re.sub` and between quotes of Python."""
    return value.isprintable() and not re.search(r"[\\'\"{}]", value)


def _replace_marks(value: Any, marks: Mapping[str, str]) -> Any:
    """Replace the marks in all text of nested dicts, lists and tuples."""
    if isinstance(value, Mapping):
        return {_replace_marks(key, marks): _replace_marks(item, marks) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_replace_marks(item, marks) for item in value)
    if isinstance(value, str):
        for mark, text in marks.items():
            value = value.replace(mark, text)
    return value
