"""One evaluation from options to record: what eval.py runs and eval_all.py looks up."""

from __future__ import annotations

import uuid
from itertools import chain
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.runner import Runner

from proxyclip import account, check, configs, identities, outcome, overrides, provenance, reporting, results
from proxyclip.choices import describe_method
from proxyclip.configs import Options
from proxyclip.data.fingerprint import tokens
from proxyclip.journal import Journal
from proxyclip.loop import ResumableLoop
from proxyclip.pictures import Pictures
from proxyclip.processes import (
    Clock,
    close_distributed,
    first_process_first,
    first_process_says,
    init_distributed,
    set_threads,
    sigterm_interrupts,
)
from proxyclip.progress import Progress
from proxyclip.runtime import PRECISIONS, pick_dtype, unwrap


def evaluate(options: Options) -> dict[str, Any]:
    """Run one evaluation, write its record and the workbook, and return the record.

    Every process of a distributed run calls this; process 0 alone prints and writes.
    """
    reporting.quiet()
    device = pick_device(options.device)
    cfg = load(options)
    outcome.check_writable(Path(options.work_dir))
    rank, world = init_distributed(options.launcher, device)
    set_threads(world)
    with sigterm_interrupts():
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
    start, clock, resolved = results.now(), Clock(), cfg.to_dict()
    if options.check:
        check.preflight(cfg, options)
    method = describe_method(cfg.model)
    identity, unfinished = first_process_says(lambda: identities.both(cfg, device, method))
    folder = Path(options.work_dir)
    runner, progress = _build(cfg, options, identity)
    with first_process_first():  # a dataset may have to make its data first
        loop: Any = runner.test_loop
    clock.stop("setup_s")
    model: Any = unwrap(runner.model)
    dtype = _prepare(model, cfg, device)
    clock.stop("text_s")
    _make_resumable(loop, options, folder / "unfinished" / unfinished)
    _share_folder(runner, Path(cfg.work_dir), world)
    dataset = loop.dataloader.dataset
    if rank == 0:
        reporting.announce(cfg, method, dtype, len(dataset), device, world)
    metrics = runner.test()
    clock.stop("images_s")
    if rank != 0:
        return {}
    run = {
        "identity": identity,
        "config": resolved,
        "config_sha256": provenance.sha256(resolved),
        **account.setting(cfg, options, method, model, dataset),
        "precision": dtype,
        **account.origin(method, device),
        "metrics": metrics,
        **account.numbers(loop),
        "processes": world,
        "start": start,
        "images_per_second": progress.images / progress.seconds if progress.seconds else None,
        "peak_memory_mib": provenance.peak_memory(device) / 2**20,
    }
    run["gallery"] = outcome.keep_gallery(run, loop, runner.model, options.gallery, folder / "gallery" / identity)
    clock.stop("gallery_s")
    run |= {"end": results.now(), "times": clock.all()}
    files = outcome.write(run, folder)
    if hasattr(loop, "journal") and not run.get("left_out"):
        loop.journal.remove()
    files["log"] = str(runner.logger.log_file)
    if options.show_dir is not None:
        files["pictures"] = options.show_dir
    reporting.summary(run, files)
    return run


def _build(cfg: Config, options: Options, identity: str) -> tuple[Runner, Progress]:
    cfg.experiment_name = f"{Path(cfg.filename).stem}-{uuid.uuid4().hex[:8]}"  # names mmengine's global objects
    cfg.work_dir = str(Path(cfg.work_dir) / identity)  # two runs that start at once have a log each
    runner = reporting.QuietRunner.from_cfg(cfg)
    progress = Progress()
    runner.register_hook(progress)
    if options.show_dir is not None:
        runner.register_hook(Pictures(Path(options.show_dir)))
    return runner, progress


def _make_resumable(loop: Any, options: Options, folder: Path) -> None:
    """Give the loop its journal; without one it runs as MMEngine's, and cannot leave images out."""
    obstacle = loop.obstacle() if isinstance(loop, ResumableLoop) else f"its test_cfg is a {type(loop).__name__}"
    if obstacle is not None:
        if options.skip_bad:
            raise ValueError(f"--skip-bad does not work with this config: {obstacle}")
        return
    dataset = loop.dataloader.dataset
    classes = len(dataset.metainfo["classes"])
    loop.journal = Journal(folder, tokens(dataset), classes, options.save_every)
    loop.skip_bad = options.skip_bad
    if options.fresh:
        with first_process_first():
            loop.journal.remove()


def _prepare(model: Any, cfg: Config, device: str) -> str:
    """Let the model finish loading (one process before the others), outside the measured time; its number format."""
    if hasattr(model, "prepare"):
        with first_process_first():
            model.prepare(next(chain(model.buffers(), model.parameters())).device)
    dtype = getattr(model, "dtype", None) or pick_dtype(cfg.model.get("precision", "auto"), device)
    return next((name for name, known in PRECISIONS.items() if known is dtype), str(dtype))


def _share_folder(runner: Runner, folder: Path, world: int) -> None:
    """Give the processes one folder to collect results in; mmengine's own choice would stay behind in the cwd."""
    if world == 1:
        return
    token = [uuid.uuid4().hex[:8]]
    dist.broadcast_object_list(token)
    for metric in runner.test_evaluator.metrics:
        if metric.collect_device == "cpu" and metric.collect_dir is None:
            metric.collect_dir = str(folder.resolve() / f".collect-{token[0]}")
