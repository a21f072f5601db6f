"""Columns of results.xlsx, results.csv and results.md, in their order."""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from proxyclip.results.published import find_published_result

Record = Mapping[str, Any]
ZERO_SHOT_METRICS = ("mIoU_seen", "mIoU_unseen", "hIoU")  # metrics that runs with a zero-shot split have


def record_value(record: Any, path: str, default: Any = None) -> Any:
    """Value at a dotted path such as `git.commit`; `default` if absent or null."""
    for key in path.split("."):
        record = record.get(key) if isinstance(record, Mapping) else None
    return default if record is None else record


def to_cell_value(value: Any) -> str | int | float | bool | None:
    """Convert a value for a table: texts joined, other containers JSON, NaN None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "; ".join(value) or None
    return json.dumps(value)


def format_vfm(run: Record) -> str:
    """Name of the VFM of a run as in the options, else its family; `none` without."""
    spec = record_value(run, "options.vfm") or record_value(run, "arguments.vfm_model")
    name = str(spec.get("type", spec) if isinstance(spec, Mapping) else spec or "none")
    return re.sub(r"[^,:]*/(?=[^/])", "", name)  # a path is cut to its last part


def format_clip(run: Record) -> str:
    """Architecture and weights of CLIP in short: `ViT-B/16 openai`, `local-dir:clip`."""
    parts = (record_value(run, "arguments.model_type") or "-", record_value(run, "arguments.clip_type") or "")
    return re.sub(r"(?<=local-dir:).*/(?=[^/])", "", " ".join(map(str, parts)).strip())


def format_protocol(run: Record) -> str:
    """Config, resize and crop/stride in pixels: `cfg_voc21: 336, 336/112`."""
    scale = re.fullmatch(r"(\d{1,9})x(\d{1,9}) keep ratio", str(record_value(run, "protocol.resize")))
    resize = min(map(int, scale.groups())) if scale else record_value(run, "protocol.resize")
    crop, stride = (_format_side(record_value(run, f"arguments.slide_{name}")) for name in ("crop", "stride"))
    windows = None if crop is None else "whole" if crop == "0" else f"{crop}/{stride}"
    parts = ", ".join(str(part) for part in (resize, windows) if part is not None)
    return ": ".join(filter(None, (str(run.get("config_name") or ""), parts)))


def format_class_name(row: Mapping[str, Any]) -> str:
    """Name of a row of `per_class`; `(unseen)` after it in a zero-shot split."""
    return f"{row.get('name')}{' (unseen)' if row.get('unseen') is True else ''}"


def count_left_out(run: Record) -> int | None:
    """Number of images skipped by --skip-bad; None if the metric does not count."""
    entries = run.get("left_out")
    return len(entries) if isinstance(entries, list) else None


def is_whole_dataset(run: Record) -> bool:
    """Return True if the run is over all images of its data set."""
    return not run.get("partial") and not count_left_out(run)


def is_rankable(run: Record) -> bool:
    """Return True if the run is whole, scored as usual, not approximated, and of code that stayed the same."""
    is_usual = record_value(run, "scoring", "correct") == "correct"
    return is_whole_dataset(run) and is_usual and not run.get("approximations") and not run.get("changed_code")


def format_image_count(run: Record) -> Any:
    """Number of images, `1449 (partial, 2 left out)` if not the whole data set."""
    left_out = count_left_out(run)
    marks = [*(["partial"] if run.get("partial") else []), *([f"{left_out} left out"] if left_out else [])]
    images = to_cell_value(record_value(run, "dataset.images"))
    return f"{'-' if images is None else images} ({', '.join(marks)})" if marks else images


def lookup_published_miou(run: Record) -> float | None:
    """Published mIoU that goes with the run, in percent."""
    target = find_published_result(run)
    return None if target is None else target.value


def compute_published_difference(run: Record) -> float | None:
    """Difference of mIoU and the published one, in points."""
    published = lookup_published_miou(run)
    miou = record_value(run, "metrics.mIoU")
    return None if published is None or not isinstance(miou, (int, float)) else miou - published


def describe_published_source(run: Record) -> str | None:
    """Source, evidence and protocol of the published number."""
    target = find_published_result(run)
    if target is None:
        return None
    protocol = "as here" if target.exact else f"not as here: {target.protocol}"
    return f"{target.source} ({target.evidence}); protocol {protocol}"


def format_method(run: Record) -> str:
    """Name of the method with its overrides: `proxy, prob_thd=0.1`."""
    changes = run.get("changes") or []
    return ", ".join([str(run.get("method") or "-"), *(str(change).removeprefix("model.") for change in changes)])


# column -> path of its value in a record, or the function that makes it
RECORD_COLUMNS: dict[str, str | Callable[[Record], Any]] = {
    "Model": "arguments.model_type", "CLIP": lambda run: str(record_value(run, "arguments.clip_type") or "-"),
    "VFM": format_vfm, "Dataset": "dataset.type",
    "aAcc": "metrics.aAcc", "mIoU": "metrics.mIoU", "mAcc": "metrics.mAcc", "method": "method",
    "protocol": format_protocol, "published": lookup_published_miou, "difference": compute_published_difference,
    "mIoU_gt": "metrics.mIoU_gt", "fwIoU": "metrics.fwIoU", **{name: f"metrics.{name}" for name in ZERO_SHOT_METRICS},
    "scoring": "scoring", "changes": "changes", "attention": "arguments.attention", "refine": "arguments.refine",
    "VFM model": "arguments.vfm_model.model", "student": "arguments.student.type", "checkpoint": "trained.checkpoint",
    "vocabulary": "arguments.name_path", "prob_thd": "arguments.prob_thd", "logit_scale": "arguments.logit_scale",
    "crop": "arguments.slide_crop", "stride": "arguments.slide_stride", "pad": "arguments.pad_multiple",
    "resize": "protocol.resize", "precision": "precision", "device": "device_name", "processes": "processes",
    "images": "dataset.images", "limit": "limit", "partial": "partial", "left out": count_left_out,
    "resumed": "resumed_images", "approximations": "approximations", "images/s": "images_per_second",
    "peak MiB": "peak_memory_mib", "seed": "seed", "config": "config_name", "commit": "git.commit",
    "dirty": "git.dirty", "date": "end", "published in": describe_published_source,
    "CLIP sha256": "arguments.clip_sha256", "VFM sha256": "arguments.vfm_sha256", "config sha256": "config_sha256",
    "metrics sha256": "metrics_sha256", "identity": "identity",
}  # fmt: skip
METRIC_COLUMNS = tuple(name for name, path in RECORD_COLUMNS.items() if str(path).startswith("metrics."))


def build_record_row(run: Record) -> list[Any]:
    """List the cells of a run, one a column."""
    return [
        to_cell_value(record_value(run, source) if isinstance(source, str) else source(run))
        for source in RECORD_COLUMNS.values()
    ]


def _format_side(size: Any) -> str | None:
    return "x".join(map(str, size)) if isinstance(size, list) else None if size is None else str(size)
