"""Run one evaluation: options in, result record out."""

from __future__ import annotations

import uuid
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from proxyclip import results
from proxyclip.data import check
from proxyclip.data.fingerprint import tokens
from proxyclip.engine.config import load as configs
from proxyclip.engine.config import overrides
from proxyclip.engine.config.components import describe_method
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.evaluation import console, provenance, record
from proxyclip.engine.evaluation import identity as identities
from proxyclip.engine.evaluation.loop import ResumableLoop
from proxyclip.engine.evaluation.progress import Progress
from proxyclip.engine.evaluation.resume import Journal
from proxyclip.engine.evaluation.runner import QuietRunner
from proxyclip.engine.hooks import ComparisonImageHook
from proxyclip.engine.wrappers import unwrap_model
from proxyclip.models.precision import format_dtype, pick_model_dtype
from proxyclip.utils.distributed import (
    Clock,
    close_distributed,
    first_process_first,
    first_process_says,
    init_distributed,
    set_threads,
    sigterm_interrupts,
)
from proxyclip.utils.hashing import hash_value


def evaluate(options: EvalOptions) -> dict[str, Any]:
    """Run one evaluation, write its record and the workbook, and return the record.

    Every process of a distributed run calls this; process 0 alone prints and writes.
    """
    console.silence_libraries()
    device = pick_device(options.device)
    cfg = load(options)
    record.check_work_dir_writable(Path(options.work_dir))
    rank, world = init_distributed(options.launcher, device)
    set_threads(world)
    with sigterm_interrupts():
        run = _run(cfg, options, device, rank, world)
    close_distributed()
    return run


def load(options: EvalOptions) -> Config:
    """Load and check the config of a run, and register the classes it names.

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
    """Resolve a --device value to 'cuda' or 'cpu'.

    MMEngine takes CUDA wherever it sees it, so a CPU is asked for by hiding the GPUs.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and device == "cpu":
        raise RuntimeError("--device cuda was asked for, but torch finds no CUDA device here. Use --device cpu.")
    return device


def _run(cfg: Config, options: EvalOptions, device: str, rank: int, world: int) -> dict[str, Any]:
    start = results.now()
    clock = Clock()
    resolved = cfg.to_dict()
    if options.check:
        check.run_preflight(cfg, options.limit, options.data_root)
    method = describe_method(cfg.model)
    identity, resume_identity = first_process_says(lambda: identities.both(cfg, device, method))
    folder = Path(options.work_dir)
    runner, progress = _build(cfg, options, identity)
    with first_process_first():  # a dataset may have to make its data first
        loop: Any = runner.test_loop
    clock.stop("setup_s")
    model: Any = unwrap_model(runner.model)
    dtype = _prepare(model, cfg, device)
    clock.stop("text_s")
    _make_resumable(loop, options, folder / "unfinished" / resume_identity)
    _share_folder(runner, Path(cfg.work_dir), world)
    dataset = loop.dataloader.dataset
    if rank == 0:
        console.print_header(cfg, method, dtype, len(dataset), device, world)
    metrics = runner.test()
    clock.stop("images_s")
    if rank != 0:
        return {}
    run = {
        "identity": identity,
        "config": resolved,
        "config_sha256": hash_value(resolved),
        **record.describe_setup(cfg, options, method, model, dataset),
        "precision": dtype,
        **record.describe_environment(method, device),
        "metrics": metrics,
        **record.collect_results(loop),
        "processes": world,
        "start": start,
        "images_per_second": progress.images / progress.seconds if progress.seconds else None,
        "peak_memory_mib": provenance.measure_peak_memory(device) / 2**20,
    }
    run["gallery"] = record.save_gallery(run, loop, runner.model, options.gallery, folder / "gallery" / identity)
    clock.stop("gallery_s")
    run |= {"end": results.now(), "times": clock.all()}
    files = record.write_record_and_tables(run, folder)
    if hasattr(loop, "journal") and not run.get("left_out"):
        loop.journal.remove()
    files["log"] = str(runner.logger.log_file)
    if options.show_dir is not None:
        files["pictures"] = options.show_dir
    console.print_summary(run, files)
    return run


def _build(cfg: Config, options: EvalOptions, identity: str) -> tuple[Runner, Progress]:
    cfg.experiment_name = f"{Path(cfg.filename).stem}-{uuid.uuid4().hex[:8]}"  # names mmengine's global objects
    cfg.work_dir = str(Path(cfg.work_dir) / identity)  # two runs that start at once have a log each
    runner = QuietRunner.from_cfg(cfg)
    progress = Progress()
    runner.register_hook(progress)
    if options.show_dir is not None:
        runner.register_hook(ComparisonImageHook(Path(options.show_dir)))
    return runner, progress


def _make_resumable(loop: Any, options: EvalOptions, folder: Path) -> None:
    """Set the journal of the loop; without one it runs as MMEngine's, and cannot leave images out."""
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
    """Finish loading the model, one process before the others, and return the name of its number format."""
    if hasattr(model, "prepare"):
        with first_process_first():
            model.prepare(next(chain(model.buffers(), model.parameters())).device)
    return format_dtype(getattr(model, "dtype", None) or pick_model_dtype(cfg.model, device))


def _share_folder(runner: Runner, folder: Path, world: int) -> None:
    """Set one folder where the processes collect results; MMEngine's own choice would stay behind in the cwd."""
    if world == 1:
        return
    token = first_process_says(lambda: uuid.uuid4().hex[:8])
    for metric in runner.test_evaluator.metrics:
        if metric.collect_device == "cpu" and metric.collect_dir is None:
            metric.collect_dir = str(folder.resolve() / f".collect-{token}")
