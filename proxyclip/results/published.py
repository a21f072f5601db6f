"""Match records with published mIoU, the rows of published.json.

The `_about` of that file explains its keys.

A row fits a run with the same config, method, CLIP, VFM and overrides, and no other: a run of a part of the images,
with an approximation, another scoring or a weights file of its own has no published number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("published.json")
_TINY = "local-dir:proxyclip/tinyworld/weights"
# name of a VFM in published.json -> the ways a config says it: `family`, `family-size` or `family,model`
VFMS = {
    "vit_base_patch8_224.dino": ("dino", "dino-b8", "dino,vit_base_patch8_224.dino"),
    "vit_base_patch14_reg4_dinov2.lvd142m": (
        "dinov2", "dinov2-b-reg", "dinov2,vit_base_patch14_reg4_dinov2.lvd142m",
    ),
    "tiny": ("tiny", "tiny-contrast", "tiny,contrast", f"tiny,{_TINY}/contrast"),
    "tiny-mae": ("tiny-mae", "tiny,mae", f"tiny,{_TINY}/mae"),
    "clip": ("clip",),
}  # fmt: skip


@dataclass(frozen=True)
class Target:
    """Published mIoU in percent, and how far it can be trusted.

    The fields are those of published.json.
    """

    value: float
    exact: bool
    source: str
    protocol: str
    evidence: str


def target(
    config_name: str | None, model: Mapping[str, Any], method: str | None, changes: Iterable[str] = ()
) -> Target | None:
    """Match a config and method with a published number.

    An exact row first, then in the order of the file.

    Args:
        model: the resolved config's, with `model_type`, `clip_type` and `vfm_model`; of a student that is trained, the
            CLIP is that of its `teacher`. The checkpoint of a training is no weights file of the user's.
        changes: the overrides that can change the number, as `model.refine=pamr`.
    """
    trained = str(config_name).startswith("trained/")
    if (model.get("checkpoint") and not trained) or _own_file(model):
        return None
    clip = model.get("teacher") or model
    parts = method, _clip(clip.get("model_type")), clip.get("clip_type") or None, _vfm(model.get("vfm_model"))
    key = *parts, _same(changes)
    matches = [
        Target(value, row["exact"], row["source"], row["protocol"], row["evidence"])
        for row in rows()
        if (row["method"], _clip(row["model"]), row["weights"], row["vfm"], _same(row["changes"])) == key
        for dataset, value in row["mIoU"].items()
        if config_name in [pattern.format(dataset=dataset) for pattern in row["configs"]]
    ]
    return min(matches, key=lambda match: not match.exact, default=None)


def target_of(run: Mapping[str, Any]) -> Target | None:
    """Return the published number of a record.

    None too if the record lacks something that decides it.
    """
    options = run.get("options") or {}
    config = run.get("config") or {}
    changes = run.get("changes")
    restrictions = (run.get(key) for key in ("partial", "left_out", "approximations"))
    if any(restrictions) or run.get("scoring") != "correct":
        return None
    if changes is None or not isinstance(config.get("model"), Mapping):
        return None
    name = run.get("config_name")
    if str(options.get("method")).endswith(".py") or not _shipped(options.get("config"), name):
        return None
    return target(name, config["model"], run.get("method"), changes)


@cache
def rows() -> tuple[dict[str, Any], ...]:
    """Load the rows of published.json, in their order."""
    return tuple(json.loads(FILE.read_text(encoding="utf-8"))["rows"])


def _clip(name: Any) -> str | None:
    """Normalize the name of an architecture.

    `ViT-B/16`, `ViT-B-16` and `ViT-B-16-quickgelu` are the same.
    """
    if name is None or ":" in str(name):
        return name
    plain = re.sub(r"@(\d+)(px)?$", r"-\1", str(name).replace("/", "-").lower())
    return plain.removesuffix("-quickgelu")


def _vfm(spec: Any) -> str | None:
    if spec in (None, "none"):
        return None
    options = dict(spec) if isinstance(spec, Mapping) else {"type": str(spec)}
    options = {key: value for key, value in options.items() if value is not None and key != "_delete_"}
    spelling = ",".join(str(options.pop(key)) for key in ("type", "model") if key in options)
    names = (name for name, spellings in VFMS.items() if spelling in spellings and not options)
    return next(names, f"unknown: {spelling} {options}")


def _own_file(model: Mapping[str, Any]) -> bool:
    """Return True if the model or its attention is a file of the user's."""
    attention = model.get("attention")
    kinds = model.get("type"), attention.get("type") if isinstance(attention, Mapping) else attention
    return any(str(kind).endswith(".py") for kind in kinds)


def _shipped(config: str | None, name: str | None) -> bool:
    """Return True if the config may be the one of this toolkit.

    One of the same name elsewhere can differ.
    """
    if config is None:
        return True
    path = config.replace("\\", "/").removesuffix(".py")
    return path == f"configs/{name}" or path.endswith(f"/configs/{name}")


def _same(changes: Iterable[str]) -> frozenset[str]:
    """Normalize overrides: any order, without quotes, brackets and spaces.

    `a=['b']` and `a=b` are the same.
    """
    return frozenset(re.sub(r"[\s'\"\[\]]", "", change) for change in changes)
