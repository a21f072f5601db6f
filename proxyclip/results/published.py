"""Match records with published mIoU, the rows of published.json.

A row fits a run with the same config, method, CLIP, VFM and overrides, and no other: a run of a part of the images,
with an approximation, another scoring or a weights file of its own has no published number.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PUBLISHED_FILE = Path(__file__).with_name("published.json")
_TINY = "local-dir:proxyclip/tinyworld/weights"
# name of a VFM in published.json -> its spellings in configs: `family`, `family-size` or `family,model`
VFM_SPELLINGS = {
    "vit_base_patch8_224.dino": ("dino", "dino-b8", "dino,vit_base_patch8_224.dino"),
    "vit_base_patch14_reg4_dinov2.lvd142m": (
        "dinov2", "dinov2-b-reg", "dinov2,vit_base_patch14_reg4_dinov2.lvd142m",
    ),
    "tiny": ("tiny", "tiny-contrast", "tiny,contrast", f"tiny,{_TINY}/contrast"),
    "tiny-mae": ("tiny-mae", "tiny,mae", f"tiny,{_TINY}/mae"),
    "clip": ("clip",),
}  # fmt: skip


@dataclass(frozen=True)
class PublishedResult:
    """Published mIoU in percent and its source; fields as in published.json."""

    value: float
    exact: bool
    source: str
    protocol: str
    evidence: str


def match_published_result(
    config_name: str | None, model: Mapping[str, Any], method: str | None, changes: Iterable[str] = ()
) -> PublishedResult | None:
    """Match a config and method with a published number, exact rows first.

    Args:
        model: the resolved config's, with `model_type`, `clip_type` and `vfm_model`; of a student that is trained, the
            CLIP is that of its `teacher`. The checkpoint of a training is no weights file of the user's.
        changes: the overrides that can change the number, as `model.refine=pamr`.
    """
    trained = str(config_name).startswith("trained/")
    attention = model.get("attention")
    types = model.get("type"), attention.get("type") if isinstance(attention, Mapping) else attention
    has_user_file = any(str(name).endswith(".py") for name in types)
    if (model.get("checkpoint") and not trained) or has_user_file:
        return None
    teacher = model.get("teacher")
    clip = teacher if isinstance(teacher, Mapping) and teacher else model
    name = _normalize_clip(clip.get("model_type"))
    parts = (method, name, clip.get("clip_type") or None, _normalize_vfm(model.get("vfm_model")))
    changes = _normalize_changes(changes)
    matches = [
        PublishedResult(value, exact, row["source"], row["protocol"], row["evidence"])
        for row in load_published_rows()
        if parts == (row["method"], _normalize_clip(row["model"]), row["weights"], row["vfm"])
        for place, exact in ((row, row["exact"]), (row.get("elsewhere"), False))
        if place is not None and changes == _normalize_changes(place["changes"])
        for dataset, value in row["mIoU"].items()
        if config_name in [pattern.format(dataset=dataset) for pattern in place["configs"]]
    ]
    return min(matches, key=lambda match: not match.exact, default=None)


def find_published_result(run: Mapping[str, Any]) -> PublishedResult | None:
    """Published number of a record; None too if a deciding field is absent."""
    options = run.get("options") or {}
    config = run.get("config") or {}
    changes = run.get("changes")
    if any(run.get(key) for key in ("partial", "left_out", "approximations")) or run.get("scoring") != "correct":
        return None
    if changes is None or not isinstance(config.get("model"), Mapping):
        return None
    name = run.get("config_name")
    file = options.get("config")
    is_shipped = file is None or f"/{file}".replace("\\", "/").removesuffix(".py").endswith(f"/configs/{name}")
    if str(options.get("method")).endswith(".py") or not is_shipped:
        return None
    return match_published_result(name, config["model"], run.get("method"), changes)


@cache
def load_published_rows() -> tuple[dict[str, Any], ...]:
    """Load the rows of published.json, in their order."""
    return tuple(json.loads(PUBLISHED_FILE.read_text(encoding="utf-8"))["rows"])


def _normalize_clip(name: Any) -> str | None:
    """Normalize an architecture: `ViT-B/16` and `ViT-B-16-quickgelu` are the same."""
    if name is None or ":" in str(name):
        return name
    plain = re.sub(r"@(\d+)(px)?$", r"-\1", str(name).replace("/", "-").lower())
    return plain.removesuffix("-quickgelu")


def _normalize_vfm(spec: Any) -> str | None:
    if spec in (None, "none"):
        return None
    options = dict(spec) if isinstance(spec, Mapping) else {"type": str(spec)}
    options = {key: value for key, value in options.items() if value is not None and key != "_delete_"}
    spelling = ",".join(str(options.pop(key)) for key in ("type", "model") if key in options)
    names = (name for name, spellings in VFM_SPELLINGS.items() if spelling in spellings and not options)
    return next(names, f"unknown: {spelling} {options}")


def _normalize_changes(changes: Iterable[str]) -> frozenset[str]:
    """Normalize overrides: any order, `a=['b']` as `a=b`, `a=None` as `a=none`."""
    plain = (re.sub(r"[\s'\"\[\]]", "", change) for change in changes)
    return frozenset(re.sub(r"=(None)?$", "=none", change) for change in plain)
