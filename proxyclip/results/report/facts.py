"""Settings of a record under headings: all that is needed to repeat the run."""

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from proxyclip.results.columns import record_value
from proxyclip.results.report.run_view import RunView


class Fact(NamedTuple):
    """Line of a group; `kind` is its style: text, hash or command."""

    name: str
    value: str
    kind: str = "text"


_GROUPS: dict[str, dict[str, str]] = {
    "Model": {
        "Method": "method", "Attention": "arguments.attention", "CLIP": "arguments.model_type",
        "CLIP weights": "arguments.clip_type", "VFM": "arguments.vfm_model", "Student": "arguments.student",
        "Checkpoint": "trained.checkpoint", "Training iterations": "trained.iteration",
        "Refinement": "arguments.refine", "Threshold": "protocol.prob_thd", "Logit scale": "protocol.logit_scale",
        "Changed settings": "changes", "Approximations": "approximations",
    },
    "Data": {
        "Config": "config_name", "Data set": "dataset.type", "Images": "dataset.images", "Limit": "limit",
        "Resize": "protocol.resize", "Window": "protocol.slide_crop", "Stride": "protocol.slide_stride",
        "Vocabulary": "vocabulary.file", "Names": "vocabulary.names", "Templates": "templates.count",
        "Scoring": "scoring", "Data check": "data_check", "Seed": "seed",
    },
    "Machine": {
        "Device": "device_name", "Precision": "precision", "Processes": "processes", "Start": "start", "End": "end",
        "Set-up": "times.setup_s", "Text features": "times.text_s", "Images, time": "times.images_s",
        "Gallery": "times.gallery_s", "Total": "times.total_s", "Images a second": "images_per_second",
        "Peak memory": "peak_memory_mib", "Resumed images": "resumed_images",
    },
    "Fingerprints": {
        "Config": "config_sha256", "CLIP weights": "weights.clip", "VFM weights": "weights.vfm",
        "Checkpoint": "trained.sha256", "Image list": "dataset.list_sha256", "Image files": "dataset.files_sha256",
        "Vocabulary": "vocabulary.sha256", "Templates": "templates.sha256",
        "Text features": "text_features_sha256", "Metrics": "metrics_sha256",
        "Code": "code_sha256", "Commit": "git.commit",
    },
}  # fmt: skip
# compared of two runs, besides the arguments of the model and the versions of packages
_SETTINGS = (
    "protocol.resize", "scoring", "precision", "limit", "device_name", "processes", "code_sha256",
    "text_features_sha256", "changes",
)  # fmt: skip


def group_facts(run: RunView) -> dict[str, list[Fact]]:
    """Group the facts of a run under headings, less absent ones and empty groups."""
    groups = {title: list(_list_facts(run.record, title, paths)) for title, paths in _GROUPS.items()}
    if command := run.record.get("command"):
        argv = [str(argument) for argument in command] if isinstance(command, list) else [str(command)]
        groups["Machine"].insert(0, Fact("Command", shlex.join(argv), "command"))
    files = record_value(run.record, "files", {})
    groups["Fingerprints"] += [Fact(str(name), str(value), "hash") for name, value in files.items()]
    versions = record_value(run.record, "versions", {})
    groups["Versions"] = [Fact(str(name), _format_value(value)) for name, value in versions.items()]
    return {title: facts for title, facts in groups.items() if facts}


def flatten_settings(run: RunView) -> dict[str, str]:
    """Flatten the settings that are compared of two runs to a dict of texts."""
    named = {"method": run.method, "VFM": run.vfm, "CLIP": run.clip, "config": run.config}
    skipped = {"model_type", "clip_type", "vfm_model", "vfm_model.type"}
    flat = {k: v for k, v in _flatten(record_value(run.record, "arguments", {})) if k not in skipped}
    flat |= {path: record_value(run.record, path) for path in _SETTINGS}
    flat |= {f"version of {name}": value for name, value in record_value(run.record, "versions", {}).items()}
    return named | {key: _format_value(value) for key, value in flat.items() if value not in (None, [], {})}


def _list_facts(record: Mapping[str, Any], title: str, paths: Mapping[str, str]) -> Iterable[Fact]:
    for name, path in paths.items():
        value = record_value(record, path)
        if value is None or value == []:
            continue
        text = _format_value(value)
        if path in ("start", "end"):
            text = re.sub(r"T([\d:]+)(\.\d+)?\+00:00$", r" \1 UTC", text)
        elif path.startswith("times."):
            text = f"{text} s"
        elif path == "peak_memory_mib":
            text = f"{text} MiB"
        yield Fact(name, text, "hash" if title == "Fingerprints" else "text")


def _flatten(mapping: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _format_value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, list):
        return ", ".join(map(_format_value, value))
    if isinstance(value, Mapping):
        rest = [f"{k}={_format_value(v)}" for k, v in value.items() if k != "type" and v is not None]
        return ", ".join([*([str(value["type"])] if "type" in value else []), *rest])
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
