"""What a run was made of, as groups of labelled facts: all that is needed to make it again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from proxyclip.report.data import Run, dig


class Fact(NamedTuple):
    """A line of a group; `kind` is how it is set: text, hash or command."""

    name: str
    value: str
    kind: str = "text"


_GROUPS: dict[str, dict[str, str]] = {
    "Model": {
        "Method": "method",
        "Attention": "arguments.attention",
        "CLIP": "arguments.model_type",
        "CLIP weights": "arguments.clip_type",
        "VFM": "arguments.vfm_model",
        "Student": "arguments.student",
        "Checkpoint": "trained.checkpoint",
        "Training iterations": "trained.iteration",
        "Refinement": "arguments.refine",
        "Threshold": "protocol.prob_thd",
        "Logit scale": "protocol.logit_scale",
        "Changed settings": "changes",
        "Approximations": "approximations",
    },
    "Data": {
        "Config": "config_name",
        "Data set": "dataset.type",
        "Images": "dataset.images",
        "Limit": "limit",
        "Resize": "protocol.resize",
        "Window": "protocol.slide_crop",
        "Stride": "protocol.slide_stride",
        "Vocabulary": "vocabulary.file",
        "Names": "vocabulary.names",
        "Templates": "templates.count",
        "Scoring": "scoring",
        "Data check": "data_check",
        "Seed": "seed",
    },
    "Machine": {
        "Device": "device_name",
        "Precision": "precision",
        "Processes": "processes",
        "Start": "start",
        "End": "end",
        "Set-up": "times.setup_s",
        "Text features": "times.text_s",
        "Images, time": "times.images_s",
        "Gallery": "times.gallery_s",
        "Total": "times.total_s",
        "Images a second": "images_per_second",
        "Peak memory": "peak_memory_mib",
        "Resumed images": "resumed_images",
    },
    "Fingerprints": {
        "Config": "config_sha256",
        "CLIP weights": "weights.clip",
        "VFM weights": "weights.vfm",
        "Checkpoint": "trained.sha256",
        "Image list": "dataset.list_sha256",
        "Image files": "dataset.files_sha256",
        "Vocabulary": "vocabulary.sha256",
        "Templates": "templates.sha256",
        "Metrics": "metrics_sha256",
        "Code": "code_sha256",
        "Commit": "git.commit",
    },
}
_ELSEWHERE = {  # where older records have the same
    "weights.clip": "arguments.clip_sha256",
    "weights.vfm": "arguments.vfm_sha256",
    **{f"protocol.{key}": f"arguments.{key}" for key in ("prob_thd", "logit_scale", "slide_crop", "slide_stride")},
}


def groups(run: Run) -> dict[str, list[Fact]]:
    """The facts of a run under their headings; what a record lacks is left out, and so is an empty group."""
    found = {title: list(_lines(run.record, title, lines)) for title, lines in _GROUPS.items()}
    if command := dig(run.record, "command"):
        words = [str(word) for word in command] if isinstance(command, list) else [str(command)]
        found["Machine"].insert(0, Fact("Command", shlex.join(words), "command"))
    found["Fingerprints"] += [
        Fact(str(name), str(value), "hash") for name, value in dig(run.record, "files", {}).items()
    ]
    versions = dig(run.record, "versions", {})
    found["Versions"] = [Fact(str(name), _words(value)) for name, value in versions.items()]
    return {title: facts for title, facts in found.items() if facts}


def settings(run: Run) -> dict[str, str]:
    """Everything that may tell two runs apart, flat, in words."""
    named = {"method": run.method, "VFM": run.vfm, "CLIP": run.clip, "config": run.config}
    skipped = {"model_type", "clip_type", "vfm_model", "vfm_model.type"}
    flat = {k: v for k, v in _flat(dig(run.record, "arguments", {})) if k not in skipped}
    for key in (
        "protocol.resize",
        "scoring",
        "precision",
        "limit",
        "device_name",
        "processes",
        "code_sha256",
        "changes",
    ):
        flat[key] = dig(run.record, key)
    flat |= {f"version of {name}": value for name, value in dig(run.record, "versions", {}).items()}
    return named | {key: _words(value) for key, value in flat.items() if value not in (None, [], {})}


def _lines(record: Mapping[str, Any], title: str, lines: Mapping[str, str]) -> Iterable[Fact]:
    for name, where in lines.items():
        value = dig(record, where)
        if value is None:
            value = dig(record, _ELSEWHERE.get(where, where))
        if value is None or value == []:
            continue
        words = _words(len(value) if where == "vocabulary.names" and isinstance(value, list) else value)
        if where in ("start", "end"):
            words = re.sub(r"T([\d:]+)(\.\d+)?\+00:00$", r" \1 UTC", words)
        elif where.startswith("times."):
            words = f"{words} s"
        elif where == "peak_memory_mib":
            words = f"{words} MiB"
        yield Fact(name, words, "hash" if title == "Fingerprints" else "text")


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _words(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    if isinstance(value, Mapping):
        rest = [f"{k}={_words(v)}" for k, v in value.items() if k != "type" and v is not None]
        return ", ".join([*([str(value["type"])] if "type" in value else []), *rest])
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
