"""Settings of a training that its numbers depend on, kept in its checkpoints, and what of them has changed since."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.dist import get_world_size

from proxyclip.engine.config.own_code import hash_own_code
from proxyclip.engine.evaluation.provenance import hash_code

SETTINGS_KEY = "settings"  # of the `meta` of a checkpoint
PROCESSES_KEY = "processes"
_PARTS = (
    "model", "train_dataloader", "optim_wrapper", "param_scheduler", "train_cfg", "randomness", "custom_hooks",
    "sync_bn"
)  # fmt: skip
_NEUTRAL = (
    "data_root", "num_workers", "persistent_workers", "prefetch_factor", "pin_memory", "val_interval", "val_begin"
)  # fmt: skip
_MAX_CHANGES = 8  # of a message
_MAX_VALUE = 60  # characters of a value in a message


def collect_training_settings(cfg: Config) -> dict[str, str]:
    """Collect the settings as texts, by key; `processes` and hashes of the code are among them."""
    settings = {key: repr(value) for name in _PARTS for key, value in _flatten(cfg.get(name), name)}
    settings |= {f"the code of {name}": digest for name, digest in hash_own_code(cfg).items()}
    return settings | {PROCESSES_KEY: str(get_world_size()), "the toolkit's code": hash_code(True)}


def explain_changed_settings(meta: Mapping[str, Any], cfg: Config) -> str | None:
    """Explain, in one line, which settings differ from those that a checkpoint was made with.

    Args:
        meta: of the checkpoint.

    Returns:
        None if none does, or if it has no settings, as those of older versions.
    """
    old = meta.get(SETTINGS_KEY)
    if not isinstance(old, Mapping):
        return None
    new = collect_training_settings(cfg)
    names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    if not names:
        return None
    changes = [f"{name} {_show(old.get(name))} -> {_show(new.get(name))}" for name in names[:_MAX_CHANGES]]
    more = f" and {len(names) - _MAX_CHANGES} more" if len(names) > _MAX_CHANGES else ""
    return (
        f"note: this training goes on with other settings than before, and its numbers are those of neither alone: "
        f"{', '.join(changes)}{more}"
    )


def _flatten(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Yield the values of nested dicts and lists by dotted key, less those that change no number."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            if name not in _NEUTRAL:
                yield from _flatten(part, f"{key}.{name}")
    elif isinstance(value, (list, tuple)) and any(isinstance(part, Mapping) for part in value):
        for number, part in enumerate(value):
            yield from _flatten(part, f"{key}.{number}")
    elif value is not None:
        yield key, list(value) if isinstance(value, tuple) else value


def _show(value: Any) -> str:
    text = "none" if value is None else str(value)
    if re.fullmatch("[0-9a-f]{64}", text):
        return text[:8]
    text = text if len(text) < _MAX_VALUE else f"{text[: _MAX_VALUE - 3]}..."
    return "".join(character if character.isprintable() else "?" for character in text)
