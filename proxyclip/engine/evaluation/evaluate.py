"""Run one evaluation: options in, result record out."""

import sys
import uuid
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from proxyclip.data.check import run_preflight
from proxyclip.data.fingerprint import hash_samples
from proxyclip.engine.config.components import MethodInfo
from proxyclip.engine.config.load import explain_missing_data, load_config
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.config.overrides import check_model_arguments
from proxyclip.engine.config.own_code import check_code_current
from proxyclip.engine.config.registration import activate_scope, register_modules
from proxyclip.engine.config.weights import download_missing_weights
from proxyclip.engine.evaluation import record
from proxyclip.engine.evaluation.console import print_header, print_notes, print_summary, silence_libraries
from proxyclip.engine.evaluation.identity import (
    RunIdentity,
    check_same_code,
    compute_identity,
    explain_changed_code,
    list_changed_code,
)
from proxyclip.engine.evaluation.loop import ResumableLoop
from proxyclip.engine.evaluation.progress import ProgressHook
from proxyclip.engine.evaluation.provenance import measure_peak_memory
from proxyclip.engine.evaluation.resume import Journal
from proxyclip.engine.evaluation.runner import QuietRunner
from proxyclip.engine.hooks import ComparisonImageHook
from proxyclip.engine.wrappers import unwrap_model
from proxyclip.models.precision import format_dtype, pick_model_dtype
from proxyclip.results.records import utc_timestamp
from proxyclip.utils import distributed
from proxyclip.utils.hashing import hash_value
from proxyclip.utils.termination import interrupt_on_sigterm


def run_evaluation(options: EvalOptions, command: str = "the same command") -> dict[str, Any]:
    """Run one evaluation, write its record and the workbook, and return the record.

    Every process of a distributed run calls this; process 0 alone prints and writes.

    Args:
        command: what goes on after an interruption, for the message of one.
    """
    silence_libraries()
    device = resolve_device_type(options.device)
    cfg, method = prepare_eval_config(options)
    record.check_work_dir_writable(Path(options.work_dir))
    rank, world = distributed.init_distributed(options.launcher, device)
    distributed.set_threads(world)
    with interrupt_on_sigterm():
        run = _run(cfg, method, options, command, device, rank, world)
    distributed.close_distributed()
    return run


def prepare_eval_config(options: EvalOptions) -> tuple[Config, MethodInfo]:
    """Load and check config and method of a run, and register the classes it names.

    Raises:
        FileNotFoundError: the config, or the data it names, do not exist.
        ValueError: an override or a model argument that fits nothing.
    """
    cfg, method = load_config(options)
    missing = explain_missing_data(cfg.test_dataloader.dataset)
    if missing is not None:
        raise FileNotFoundError(missing)
    register_modules()
    activate_scope(cfg)
    check_model_arguments(cfg)
    return cfg, method


def resolve_device_type(name: str) -> str:
    """Resolve a --device value to 'cuda' or 'cpu' (MMEngine's if GPUs are hidden)."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and device == "cpu":
        raise RuntimeError("--device cuda was asked for, but torch finds no CUDA device here. Use --device cpu.")
    return device


def _run(
    cfg: Config, method: MethodInfo, options: EvalOptions, command: str, device: str, rank: int, world: int
) -> dict[str, Any]:
    start = utc_timestamp()
    clock = distributed.Stopwatch()
    resolved = cfg.to_dict()
    _check_inputs(cfg, method, options, rank)
    identity = _agree_on_identity(cfg, method, device, rank)
    folder = Path(options.work_dir)
    progress = ProgressHook()
    runner = _build_runner(cfg, options, progress, identity.run)
    with distributed.rank_zero_first():  # a dataset may have to make its data first
        loop: Any = runner.test_loop
    clock.stop("setup_s")
    model: Any = unwrap_model(runner.model)
    dtype = _prepare_model(model, cfg, device)
    clock.stop("text_s")
    _make_resumable(loop, options, command, folder / "unfinished" / identity.unfinished, identity)
    _share_folder(runner, Path(cfg.work_dir), world)
    dataset = loop.dataloader.dataset
    if rank == 0:
        print_header(cfg, method, dtype, len(dataset), device, world)
    metrics = runner.test()
    clock.stop("images_s")
    if rank != 0:
        return {}
    run = {
        "identity": identity.run,
        "config": resolved,
        "config_sha256": hash_value(resolved),
        **record.describe_setup(cfg, options, method, model, dataset),
        "precision": dtype,
        **record.describe_environment(method, device),
        "code_sha256": identity.code,  # that it began with
        "own_code": identity.own_code,
        "changed_code": list_changed_code(cfg, method, identity),
        "metrics": metrics,
        **record.collect_results(loop),
        "processes": world,
        "start": start,
        "images_per_second": progress.images / progress.seconds if progress.seconds else None,
        "peak_memory_mib": measure_peak_memory(device) / 2**20,
    }
    run["gallery"] = record.save_gallery(run, loop, runner.model, options.gallery, folder / "gallery" / identity.run)
    clock.stop("gallery_s")
    run |= {"end": utc_timestamp(), "times": clock.all()}
    _save_run(run, runner, loop, options)
    return run


def _agree_on_identity(cfg: Config, method: MethodInfo, device: str, rank: int) -> RunIdentity:
    """Compute the identity in process 0, of code that all processes have and run."""
    check_code_current(cfg)
    identity = distributed.broadcast_from_rank_zero(lambda: compute_identity(cfg, method, device))
    if rank != 0:
        check_same_code(cfg, method, identity)
    return identity


def _save_run(run: dict[str, Any], runner: Runner, loop: Any, options: EvalOptions) -> None:
    """Write record and tables, delete the saved counts, and print the summary."""
    if run["changed_code"]:
        print(explain_changed_code(run["changed_code"]), file=sys.stderr, flush=True)
    files = record.write_record_and_tables(run, Path(options.work_dir))
    if hasattr(loop, "journal") and not run.get("left_out"):
        loop.journal.remove()
    files["log"] = str(runner.logger.log_file)
    if options.show_dir is not None:
        files["pictures"] = options.show_dir
    print_summary(run, files)


def _check_inputs(cfg: Config, method: MethodInfo, options: EvalOptions, rank: int) -> None:
    """Check the data and provide the weights, before anything is built."""
    if options.check:
        notes = run_preflight(cfg, options.limit, options.data_root, options.skip_bad)
        if rank == 0:
            print_notes(notes)
    if method.names_weights:
        with distributed.rank_zero_first():
            download_missing_weights(cfg.model)


def _build_runner(cfg: Config, options: EvalOptions, progress: ProgressHook, identity: str) -> QuietRunner:
    """Build the runner with its model and hooks."""
    cfg.experiment_name = f"{Path(cfg.filename).stem}-{uuid.uuid4().hex[:8]}"  # names mmengine's global objects
    cfg.work_dir = str(Path(cfg.work_dir) / identity)  # two runs that start at once have a log each
    runner = QuietRunner.from_cfg(cfg)
    runner.register_hook(progress)
    if options.show_dir is not None:
        runner.register_hook(ComparisonImageHook(Path(options.show_dir)))
    return runner


def _make_resumable(loop: Any, options: EvalOptions, command: str, folder: Path, identity: RunIdentity) -> None:
    """Set the journal of the loop; without one it cannot skip images or be resumed."""
    is_resumable = isinstance(loop, ResumableLoop)
    obstacle = loop.find_obstacle() if is_resumable else f"its test_cfg is a {type(loop).__name__}"
    if obstacle is not None:
        if options.skip_bad:
            raise ValueError(f"--skip-bad does not work with this config: {obstacle}")
        return
    dataset = loop.dataloader.dataset
    classes = len(dataset.metainfo["classes"])
    loop.journal = Journal(folder, hash_samples(dataset), classes, options.save_every, identity.parts)
    loop.skip_bad = options.skip_bad
    loop.explains_unused = not options.fresh
    loop.command = command
    if options.fresh:
        with distributed.rank_zero_first():
            loop.journal.remove()


def _prepare_model(model: Any, cfg: Config, device: str) -> str:
    """Finish loading the model, rank zero first; return its number format."""
    if hasattr(model, "prepare"):
        with distributed.rank_zero_first():
            model.prepare(next(chain(model.buffers(), model.parameters())).device)
    return format_dtype(getattr(model, "dtype", None) or pick_model_dtype(cfg.model, device))


def _share_folder(runner: Runner, folder: Path, world: int) -> None:
    """Set one folder for collecting results; MMEngine's default stays in the cwd."""
    if world == 1:
        return
    token = distributed.broadcast_from_rank_zero(lambda: uuid.uuid4().hex[:8])
    for metric in runner.test_evaluator.metrics:
        if metric.collect_device == "cpu" and metric.collect_dir is None:
            metric.collect_dir = str(folder.resolve() / f".collect-{token}")
