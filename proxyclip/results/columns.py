"""The columns of the tables of results, and what stands in them: the same in the workbook, the CSV and the Markdown."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from .published import target_of

Run = Mapping[str, Any]
FIRST_COLUMNS = ("Model", "CLIP", "VFM", "Dataset", "aAcc", "mIoU", "mAcc")
ZERO_SHOT = ("mIoU_seen", "mIoU_unseen", "hIoU")  # metrics that runs with a zero-shot split have


def value(run: Run, where: str) -> Any:
    """What a record has at a path like `git.commit`; None where it has nothing."""
    found: Any = run
    for key in where.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def cell(found: Any) -> str | int | float | bool | None:
    """A value as a table shows it: numbers as numbers, lists of words joined, the rest as JSON; no NaN."""
    if isinstance(found, float):
        return found if math.isfinite(found) else None
    if found is None or isinstance(found, (str, int)):
        return found
    if isinstance(found, list) and all(isinstance(part, str) for part in found):
        return "; ".join(found) or None
    return json.dumps(found)


def vfm(run: Run) -> str:
    """The VFM of a run in one word, as it was asked for, else by its family; `none` without one."""
    given = value(run, "options.vfm") or value(run, "arguments.vfm_model")
    word = str(given.get("type", given) if isinstance(given, Mapping) else given or "none")
    return re.sub(r"[^,:]*/(?=[^/])", "", word)  # of a file or folder its own name will do


def clip(run: Run) -> str:
    """The tag of CLIP's weights; `-` where they lie beside the architecture."""
    return str(value(run, "arguments.clip_type") or "-")


def tower(run: Run) -> str:
    """Architecture and weights of CLIP in short: `ViT-B/16 openai`, `local-dir:clip`."""
    words = (value(run, "arguments.model_type") or "-", value(run, "arguments.clip_type") or "")
    return re.sub(r"(?<=local-dir:).*/(?=[^/])", "", " ".join(map(str, words)).strip())


def protocol(run: Run) -> str:
    """Config, resize, and crop/stride in short: `cfg_voc21: 336, 336/112`, sizes in pixels, of the short side."""
    scale = re.fullmatch(r"(\d+)x(\d+) keep ratio", str(value(run, "protocol.resize")))
    resize = min(map(int, scale.groups())) if scale else value(run, "protocol.resize")
    crop, stride = (_size(value(run, f"arguments.slide_{name}")) for name in ("crop", "stride"))
    windows = None if crop is None else "whole" if crop == "0" else f"{crop}/{stride}"
    parts = ", ".join(str(part) for part in (resize, windows) if part is not None)
    return ": ".join(filter(None, (str(run.get("config_name") or ""), parts)))


def class_name(one: Mapping[str, Any]) -> str:
    """The name of a row of `per_class`; `(unseen)` behind it where the run has a zero-shot split."""
    return f"{one.get('name')}{' (unseen)' if one.get('unseen') is True else ''}"


def left_out(run: Run) -> int | None:
    """How many images --skip-bad left out; None for a record that does not say."""
    found = run.get("left_out")
    return len(found) if isinstance(found, list) else None


def whole(run: Run) -> bool:
    """Whether the run is over all images of its data set."""
    return not run.get("partial") and not left_out(run)


def published(run: Run) -> float | None:
    """The published mIoU that goes with the run."""
    target = target_of(run)
    return None if target is None else target.value


def difference(run: Run) -> float | None:
    """mIoU minus the published one, in points."""
    theirs, ours = published(run), value(run, "metrics.mIoU")
    return None if theirs is None or not isinstance(ours, (int, float)) else ours - theirs


def origin(run: Run) -> str | None:
    """Where the published number is from, and what to know of it."""
    target = target_of(run)
    if target is None:
        return None
    about = "as here" if target.exact else f"not as here: {target.protocol}"
    return f"{target.source} ({target.evidence}); protocol {about}"


def methods(run: Run) -> str:
    """The method with its overrides: `proxy, prob_thd=0.1`."""
    changes = run.get("changes") or []
    return ", ".join([str(run.get("method") or "-"), *(str(change).removeprefix("model.") for change in changes)])


# column -> where its value is in a record, or how it is made from one
COLUMNS: dict[str, str | Callable[[Run], Any]] = {
    "Model": "arguments.model_type",
    "CLIP": clip,
    "VFM": vfm,
    "Dataset": "dataset.type",
    "aAcc": "metrics.aAcc",
    "mIoU": "metrics.mIoU",
    "mAcc": "metrics.mAcc",
    "method": "method",
    "protocol": protocol,
    "published": published,
    "difference": difference,
    "mIoU_gt": "metrics.mIoU_gt",
    "fwIoU": "metrics.fwIoU",
    **{name: f"metrics.{name}" for name in ZERO_SHOT},
    "scoring": "scoring",
    "changes": "changes",
    "attention": "arguments.attention",
    "refine": "arguments.refine",
    "VFM model": "arguments.vfm_model.model",
    "student": "arguments.student.type",
    "checkpoint": "trained.checkpoint",
    "vocabulary": "arguments.name_path",
    "prob_thd": "arguments.prob_thd",
    "logit_scale": "arguments.logit_scale",
    "crop": "arguments.slide_crop",
    "stride": "arguments.slide_stride",
    "pad": "arguments.pad_multiple",
    "resize": "protocol.resize",
    "precision": "precision",
    "device": "device_name",
    "processes": "processes",
    "images": "dataset.images",
    "limit": "limit",
    "partial": "partial",
    "left out": left_out,
    "resumed": "resumed_images",
    "approximations": "approximations",
    "images/s": "images_per_second",
    "peak MiB": "peak_memory_mib",
    "seed": "seed",
    "config": "config_name",
    "commit": "git.commit",
    "dirty": "git.dirty",
    "date": "end",
    "published in": origin,
    "CLIP sha256": "arguments.clip_sha256",
    "VFM sha256": "arguments.vfm_sha256",
    "config sha256": "config_sha256",
    "metrics sha256": "metrics_sha256",
    "identity": "identity",
}


def row(run: Run, columns: Mapping[str, str | Callable[[Run], Any]] = COLUMNS) -> list[Any]:
    """The cells of a run, one a column."""
    return [cell(value(run, where) if isinstance(where, str) else where(run)) for where in columns.values()]


def _size(given: Any) -> str | None:
    return "x".join(map(str, given)) if isinstance(given, list) else None if given is None else str(given)
