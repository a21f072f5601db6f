"""One evaluation from options to record: what eval.py runs and eval_all.py looks up."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.runner import Runner

from proxyclip import check, choices, configs, overrides, provenance, reporting, results
from proxyclip.configs import Options
from proxyclip.pictures import Pictures
from proxyclip.runtime import (
    PRECISIONS,
    close_distributed,
    first_process_first,
    init_distributed,
    pick_dtype,
    set_threads,
    unwrap,
)


def evaluate(options: Options) -> dict[str, Any]:
    """Run one evaluation, write its record and the workbook, and return the record.

    Every process of a distributed run calls this; process 0 alone prints and writes.
    """
    reporting.quiet()
    device = pick_device(options.device)
    cfg = load(options)
    rank, world = init_distributed(options.launcher, device)
    set_threads(world)
    run = _run(cfg, options, device, rank, world)
    close_distributed()
    return run


def load(options: Options) -> Config:
    """The checked config of a run. Registers the parts it is built from.

    Raises:
        FileNotFoundError: the config, or the data it names, do not exist.
        ValueError: an override or a model argument that fits nothing.
    """
    cfg = configs.load(options)
    missing = configs.missing_data(cfg)
    if missing:
        raise FileNotFoundError(configs.how_to_get(cfg, missing))
    configs.register()
    configs.use_scope(cfg)
    overrides.check_model_arguments(cfg)
    return cfg


def pick_device(name: str) -> str:
    """'cuda' or 'cpu'. mmengine takes CUDA wherever it sees it, so the CPU must have been asked for by hiding it."""
    found = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and found == "cpu":
        raise RuntimeError("--device cuda was asked for, but torch finds no CUDA device here. Use --device cpu.")
    return found


def _run(cfg: Config, options: Options, device: str, rank: int, world: int) -> dict[str, Any]:
    start, identity, resolved = results.now(), configs.run_identity(cfg, device), cfg.to_dict()
    if options.check:
        check.preflight(cfg, options)
    cfg.experiment_name = f"{Path(cfg.filename).stem}-{uuid.uuid4().hex[:8]}"  # names mmengine's global objects
    runner = reporting.QuietRunner.from_cfg(cfg)
    progress = reporting.Progress()
    runner.register_hook(progress)
    if options.show_dir is not None:
        runner.register_hook(Pictures(Path(options.show_dir)))
    model: Any = unwrap(runner.model)
    dtype = _prepare(model, cfg, device)
    with first_process_first():  # a dataset may have to make its data first
        dataset = runner.test_dataloader.dataset
    _share_folder(runner, Path(cfg.work_dir), world)
    if rank == 0:
        reporting.announce(cfg, dtype, len(dataset), device, world)
    metrics = runner.test()
    if rank != 0:
        return {}
    folder = Path(options.work_dir)
    described = model.describe() if hasattr(model, "describe") else {}
    run = {
        "identity": identity,
        "config": resolved,
        "config_sha256": provenance.sha256(resolved),
        **_protocol(cfg, options, {**cfg.model.to_dict(), **described}, dataset),
        "precision": dtype,
        **_origin(cfg, device),
        "metrics": metrics,
        **_classes(runner),
        "processes": world,
        "start": start,
        "end": results.now(),
        "images_per_second": len(dataset) / progress.seconds if progress.seconds else None,
        "peak_memory_mib": provenance.peak_memory(device) / 2**20,
    }
    files: dict[str, Path | str] = {"record": results.record(run, folder), "table": results.table(folder)}
    files["log"] = str(runner.logger.log_file)
    if options.show_dir is not None:
        files["pictures"] = options.show_dir
    reporting.summary(run, files)
    return run


def _prepare(model: Any, cfg: Config, device: str) -> str:
    """Let the model finish loading (one process before the others), outside the measured time; its number format."""
    if hasattr(model, "prepare"):
        with first_process_first():
            model.prepare(next(model.buffers()).device)
    dtype = getattr(model, "dtype", None) or pick_dtype(cfg.model.get("precision", "auto"), device)
    return next((name for name, known in PRECISIONS.items() if known is dtype), str(dtype))


def _protocol(cfg: Config, options: Options, arguments: Mapping[str, Any], dataset) -> dict[str, Any]:
    return {
        "config_name": configs.config_name(cfg),
        "method": _method(cfg, options),
        "approximations": list(arguments.get("approximations", [])),
        "arguments": dict(arguments),
        "files": provenance.named_files(cfg.model),
        "dataset": _describe_dataset(dataset),
        "protocol": {
            "resize": _resize(cfg.test_dataloader.dataset.get("pipeline") or []),
            **{k: arguments.get(k) for k in ("slide_crop", "slide_stride", "prob_thd", "logit_scale")},
        },
        "data_check": "quick" if options.check else "none",
        "limit": options.limit,
        "partial": options.limit is not None and len(dataset) >= options.limit,
        "seed": cfg.randomness.get("seed"),
    }


def _method(cfg: Config, options: Options) -> str | None:
    return choices.method_name(cfg.model) if options.method is None else Path(options.method).stem


def _origin(cfg: Config, device: str) -> dict[str, Any]:
    return {
        "git": provenance.git_state(),
        "code_sha256": provenance.code_sha256(),
        "versions": provenance.versions(),
        "device": device,
        "device_name": provenance.device_name(device),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def _describe_dataset(dataset) -> dict[str, Any]:
    found: dict[str, Any] = {"type": type(dataset).__name__, "images": len(dataset)}
    if hasattr(dataset, "get_data_info"):
        infos = (dataset.get_data_info(i) for i in range(len(dataset)))
        # the last two folders tell images apart and stay when the data move
        names = ["/".join(Path(str(info.get("img_path"))).parts[-3:]) for info in infos]
        found["list_sha256"] = provenance.sha256("\n".join(names))
    return found


def _classes(runner: Runner) -> dict[str, Any]:
    for metric in runner.test_evaluator.metrics:
        if hasattr(metric, "per_class"):
            return {
                "scoring": getattr(metric, "scoring", None),
                "per_class": metric.per_class,
                "classes_in": getattr(metric, "classes_in", {}),
                "confusion": results.sparse(getattr(metric, "confusion", np.zeros((0, 0), np.int64))),
            }
    return {"per_class": []}


def _resize(pipeline: list[Mapping[str, Any]]) -> str | None:
    for step in pipeline:
        if step.get("type") == "Resize":
            scale = step.get("scale")
            size = "x".join(map(str, scale)) if isinstance(scale, (list, tuple)) else str(scale)
            return f"{size} keep ratio" if step.get("keep_ratio") else size
    return None


def _share_folder(runner: Runner, folder: Path, world: int) -> None:
    """Give the processes one folder to collect results in; mmengine's own choice would stay behind in the cwd."""
    if world == 1:
        return
    token = [uuid.uuid4().hex[:8]]
    dist.broadcast_object_list(token)
    for metric in runner.test_evaluator.metrics:
        if metric.collect_device == "cpu" and metric.collect_dir is None:
            metric.collect_dir = str(folder.resolve() / f".collect-{token[0]}")
