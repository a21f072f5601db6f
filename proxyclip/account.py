"""What a record says of a run besides its numbers; docs/records.md explains every field."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from proxyclip import checkpoint, configs, gallery, identities, provenance, results
from proxyclip.choices import MethodInfo
from proxyclip.configs import Options
from proxyclip.data.fingerprint import fingerprint, short_names
from proxyclip.data.metric import image_scores
from proxyclip.loop import ResumableLoop


def setting(cfg: Config, options: Options, method: MethodInfo, model: Any, dataset: Any) -> dict[str, Any]:
    """What was asked for: options, model, vocabulary, data set, protocol."""
    described = model.describe() if hasattr(model, "describe") else {}
    arguments = {**cfg.model.to_dict(), **described}
    return {
        "config_name": configs.config_name(cfg),
        "method": method.name,
        "options": dataclasses.asdict(options),
        "changes": identities.changes(options),
        "approximations": list(arguments.get("approximations", [])),
        "arguments": arguments,
        "files": provenance.named_files(cfg.model),
        "weights": {"clip": arguments.get("clip_sha256"), "vfm": arguments.get("vfm_sha256")},
        **checkpoint.facts(cfg, model, method),
        **_words(model, cfg),
        "dataset": {"type": type(dataset).__name__, **fingerprint(dataset)},
        "protocol": {
            "resize": resize(cfg.test_dataloader.dataset.get("pipeline") or []),
            **{k: arguments.get(k) for k in ("slide_crop", "slide_stride", "prob_thd", "logit_scale")},
        },
        "data_check": "quick" if options.check else "none",
        "limit": options.limit,
        "partial": options.limit is not None and len(dataset) >= options.limit,
        "seed": cfg.randomness.get("seed"),
    }


def origin(method: MethodInfo, device: str) -> dict[str, Any]:
    """Where it ran: code, packages, machine."""
    return {
        "git": provenance.git_state(),
        "code_sha256": provenance.code_sha256(method.uses_trained_code),
        "versions": provenance.versions(),
        "device": device,
        "device_name": provenance.device_name(device),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def numbers(loop: Any) -> dict[str, Any]:
    """What came out beside the means: classes, confusion matrix, single images, and images that were left out."""
    metric = next((one for one in loop.evaluator.metrics if hasattr(one, "per_class")), None)
    if metric is None:
        return {"per_class": []}
    found = {
        "scoring": getattr(metric, "scoring", None),
        "per_class": metric.per_class,
        "classes_in": getattr(metric, "classes_in", {}),
        "confusion": results.sparse(getattr(metric, "confusion", np.zeros((0, 0), np.int64))),
    }
    if not isinstance(loop, ResumableLoop) or not loop.counts:
        return found
    dataset = loop.dataloader.dataset
    classes = len(dataset.metainfo["classes"])
    nothing = np.zeros(0, np.int64), np.zeros(0, np.int64)
    scores = [image_scores(loop.counts.get(index, nothing), classes) for index in range(loop.images)]
    names = short_names(dataset)
    return found | {
        "per_image": {"file": names, "mIoU": [one for one, _ in scores], "aAcc": [one for _, one in scores]},
        "left_out": [{"file": names[index], "why": why} for index, why in loop.left_out],
        "resumed_images": loop.before,
    }


def picks(loop: ResumableLoop, per_image: Mapping[str, Any], number: int) -> list[dict[str, Any]]:
    """The images for the gallery."""
    return gallery.choose(per_image["mIoU"], loop.counts, loop.dataloader.dataset.metainfo["classes"], number)


def _words(model: Any, cfg: Config) -> dict[str, Any]:
    """Hashes of the names and templates the text features come from."""
    vocabulary, templates = getattr(model, "vocabulary", None), getattr(model, "templates", None)
    found: dict[str, Any] = {"vocabulary": None, "templates": None}
    if vocabulary is not None:
        names = [[one] if isinstance(one, str) else list(one) for one in vocabulary.classes]
        found["vocabulary"] = {
            "file": cfg.model.get("name_path"),
            "classes": len(names),
            "names": sum(map(len, names)),
            "sha256": provenance.sha256(names),
        }
    if templates is not None:
        found["templates"] = {"count": len(templates), "sha256": provenance.sha256(list(templates))}
    return found


def resize(pipeline: list[Mapping[str, Any]]) -> str | None:
    """What a pipeline does to the size of images, in words; None if it keeps it."""
    for step in pipeline:
        scale = step.get("scale")
        if step.get("type") == "ResizeShortestEdge":
            return f"short side {scale}"
        if step.get("type") == "Resize":
            size = "x".join(map(str, scale)) if isinstance(scale, (list, tuple)) else str(scale)
            return f"{size} keep ratio" if step.get("keep_ratio") else size
    return None
