"""Record (fields: docs/results.md), tables and gallery of a run."""

import dataclasses
import sys
import tempfile
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from proxyclip.data.fingerprint import fingerprint_dataset, list_image_names
from proxyclip.engine.config.components import MethodInfo
from proxyclip.engine.config.load import config_name
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.errors import format_error
from proxyclip.engine.evaluation.gallery import rank_gallery_images, render_gallery_images
from proxyclip.engine.evaluation.identity import number_changing_overrides
from proxyclip.engine.evaluation.loop import ResumableLoop
from proxyclip.engine.evaluation.metrics import score_image
from proxyclip.engine.evaluation.provenance import collect_versions, hash_code, hash_model_files, read_git_state
from proxyclip.results.records import load_record, save_record, to_sparse_confusion
from proxyclip.results.tables import rebuild_tables
from proxyclip.utils.hashing import hash_chunks, hash_file, hash_value
from proxyclip.utils.system import read_cpu_name


def check_work_dir_writable(folder: Path) -> None:
    """Refuse a work dir that cannot take the results, before anything is computed.

    Raises:
        OSError: it cannot be made, or no file can be written in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(1 << 16))
    except OSError as error:
        raise OSError(
            f"The work dir {folder} cannot be written ({error.strerror or error}): make room or choose another with "
            "--work-dir DIR"
        ) from error


def describe_setup(cfg: Config, options: EvalOptions, method: MethodInfo, model: Any, dataset: Any) -> dict[str, Any]:
    """Describe options, model, vocabulary, data set and protocol of a run."""
    description = model.describe() if hasattr(model, "describe") else {}
    arguments = {**cfg.model.to_dict(), **description}
    return {
        "config_name": config_name(cfg),
        "method": method.name,
        "options": dataclasses.asdict(options),
        "changes": number_changing_overrides(options),
        "approximations": list(arguments.get("approximations", [])),
        "arguments": arguments,
        "files": hash_model_files(cfg.model, method),
        "weights": {"clip": arguments.get("clip_sha256"), "vfm": arguments.get("vfm_sha256")},
        **({"trained": _describe_checkpoint(cfg, model)} if method.needs_checkpoint else {}),
        **_describe_prompts(cfg, model),
        "text_features_sha256": hash_text_features(model),
        "dataset": {"type": type(dataset).__name__, **fingerprint_dataset(dataset)},
        "protocol": {
            "resize": describe_resize(cfg.test_dataloader.dataset.get("pipeline") or []),
            **{name: arguments.get(name) for name in ("slide_crop", "slide_stride", "prob_thd", "logit_scale")},
        },
        "data_check": "quick" if options.check else "none",
        "limit": options.limit,
        "partial": options.limit is not None and len(dataset) >= options.limit,
        "seed": cfg.randomness.get("seed"),
    }


def _describe_checkpoint(cfg: Config, model: Any) -> dict[str, Any]:
    file = Path(cfg.model.checkpoint)
    return {"checkpoint": file.name, "sha256": hash_file(file), "iteration": getattr(model, "iteration", None)}


def _describe_prompts(cfg: Config, model: Any) -> dict[str, Any]:
    """Describe the names and templates of the text features, with their hashes."""
    vocabulary = getattr(model, "vocabulary", None)
    templates = getattr(model, "templates", None)
    description: dict[str, Any] = {"vocabulary": None, "templates": None}
    if vocabulary is not None:
        names = [[synonyms] if isinstance(synonyms, str) else list(synonyms) for synonyms in vocabulary.classes]
        description["vocabulary"] = {
            "file": cfg.model.get("name_path"),
            "classes": len(names),
            "names": sum(map(len, names)),
            "sha256": hash_value(names),
        }
    if templates is not None:
        description["templates"] = {"count": len(templates), "sha256": hash_value(list(templates))}
    return description


def hash_text_features(model: Any) -> str | None:
    """Hash the text features (names, D) that a model has scored with, wherever they came from; None without any.

    Two records of one identity with other hashes tell that a cache or a library gave other features.
    """
    text = getattr(model, "text", None)
    if not isinstance(text, torch.Tensor) or not text.numel():
        return None
    values = text.detach().float().cpu().contiguous()
    return hash_chunks([str(tuple(values.shape)).encode(), values.numpy()])


def describe_resize(pipeline: list[Mapping[str, Any]]) -> str | None:
    """Describe the resize step of a pipeline; None if it keeps the size of images."""
    for step in pipeline:
        scale = step.get("scale")
        if step.get("type") == "ResizeShortestEdge":
            return f"short side {scale}"
        if step.get("type") == "Resize":
            size = "x".join(map(str, scale)) if isinstance(scale, (list, tuple)) else str(scale)
            return f"{size} keep ratio" if step.get("keep_ratio") else size
    return None


def describe_environment(method: MethodInfo, device: str) -> dict[str, Any]:
    """Describe code, packages and machine of a run."""
    return {
        "git": read_git_state(),
        "code_sha256": hash_code(method.uses_trained_code),
        "versions": collect_versions(),
        "device": device,
        "device_name": torch.cuda.get_device_name() if device == "cuda" else read_cpu_name(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def collect_results(loop: Any) -> dict[str, Any]:
    """Collect per-class and per-image results, confusion matrix and skipped images."""
    metric = next((metric for metric in loop.evaluator.metrics if hasattr(metric, "per_class")), None)
    if metric is None:
        return {"per_class": []}
    collected = {
        "scoring": getattr(metric, "scoring", None),
        "per_class": metric.per_class,
        "classes_in": getattr(metric, "classes_in", {}),
        "confusion": to_sparse_confusion(getattr(metric, "confusion", np.zeros((0, 0), np.int64))),
    }
    if not isinstance(loop, ResumableLoop) or not loop.counts:
        return collected
    dataset = loop.dataloader.dataset
    classes = len(dataset.metainfo["classes"])
    no_pairs = (np.zeros(0, np.int64), np.zeros(0, np.int64))
    scores = [score_image(loop.counts.get(index, no_pairs), classes) for index in range(loop.images)]
    names = list_image_names(dataset)
    return collected | {
        "per_image": {"file": names, "mIoU": [iou for iou, _ in scores], "aAcc": [accuracy for _, accuracy in scores]},
        "left_out": [{"file": names[index], "why": reason} for index, reason in loop.left_out],
        "resumed_images": loop.resumed_images,
    }


def save_gallery(run: Mapping[str, Any], loop: Any, model: Any, number: int, folder: Path) -> list[dict[str, Any]]:
    """Choose and write the gallery; a failure is printed and costs no result."""
    if not isinstance(loop, ResumableLoop) or not loop.counts or not number:
        return []
    dataset = loop.dataloader.dataset
    images = rank_gallery_images(run["per_image"]["mIoU"], loop.counts, dataset.metainfo["classes"], number)
    try:
        render_gallery_images(model, dataset, loop.dataloader.collate_fn, images, folder)
    except Exception as error:
        print(f"warning: no pictures for the report in {folder}: {format_error(error)}", file=sys.stderr)
    return images


def write_record_and_tables(run: Mapping[str, Any], folder: Path) -> dict[str, Path | str]:
    """Write record and tables; the record to the temporary folder if it must be.

    Raises:
        OSError: the record is elsewhere, or nowhere; the message has the metrics.
    """
    _warn_on_changed_metrics(load_record(folder, run["identity"]), run)
    try:
        path = save_record(run, folder)
    except OSError as error:
        fallback = Path(tempfile.gettempdir()) / f"proxyclip-{run['identity']}"
        metrics = ", ".join(f"{name} {value}" for name, value in run["metrics"].items())
        try:
            location = f"It is in {save_record(run, fallback)}: move it to {folder / 'records'}"
        except OSError as fallback_error:
            location = f"Nor can {fallback} ({fallback_error})"
        raise OSError(
            f"The record cannot be written in {folder} ({error.strerror or error}). {location}. The numbers: "
            f"{metrics}. Counts that were saved are kept: with room on the disk, the same command takes them up."
        ) from error
    files: dict[str, Path | str] = {"record": path}
    try:
        files["table"] = rebuild_tables(folder)
    except OSError as error:
        print(
            f"warning: the tables cannot be written ({error}); python -m proxyclip tables {folder} makes them from "
            "the records",
            file=sys.stderr,
        )
    files["report"] = f"python -m proxyclip report {folder}"
    return files


def _warn_on_changed_metrics(old: Mapping[str, Any] | None, run: Mapping[str, Any]) -> None:
    """Warn if the record to be replaced, of the same evaluation, has other metrics."""
    if old is None or old.get("left_out") or run.get("left_out"):
        return
    pairs = [(name, old["metrics"].get(name), value) for name, value in run["metrics"].items()]
    numbers = [values for values in pairs if all(isinstance(value, Real) for value in values[1:])]
    changed = [(name, before, now) for name, before, now in numbers if abs(now - before) > 0.005]
    differences = [f"{name} {before:.2f}, now {now:.2f}" for name, before, now in changed]
    if differences:
        texts = [record.get("text_features_sha256") for record in (old, run)]
        if None not in texts and texts[0] != texts[1]:
            reason = "its text features were others, by a text cache that was tampered with, a driver or a library"
        else:
            reason = (
                "something that is not in the record has changed, a driver or a library say, or the computation is "
                "not deterministic"
            )
        print(
            f"warning: the same evaluation had other numbers before ({'; '.join(differences)}): {reason}",
            file=sys.stderr,
        )
