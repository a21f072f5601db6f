"""Train from options to checkpoint and evaluation: what train.py runs."""

import sys
import uuid
from pathlib import Path
from typing import Any

from mmengine.config import Config

from proxyclip.data.check import run_preflight, unwrap_dataset_config
from proxyclip.engine.config.load import config_name
from proxyclip.engine.config.options import TrainOptions
from proxyclip.engine.config.own_code import check_code_current
from proxyclip.engine.config.train import complete_train_config, get_log_interval, load_train_config
from proxyclip.engine.evaluation.console import print_notes, silence_libraries
from proxyclip.engine.evaluation.evaluate import resolve_device_type, run_evaluation
from proxyclip.engine.evaluation.record import check_work_dir_writable
from proxyclip.engine.training.checkpoint import find_latest_checkpoint, find_whole_checkpoint, remove_checkpoints
from proxyclip.engine.training.interruption import save_and_print_way_on
from proxyclip.engine.training.log import TrainingLogHook
from proxyclip.engine.training.runner import TrainRunner
from proxyclip.engine.training.stop_signals import StopSignals
from proxyclip.models.trained.nonfinite import NonFiniteError
from proxyclip.models.trained.state_dict import verify_checkpoint
from proxyclip.models.weights import WeightsError
from proxyclip.utils.distributed import (
    broadcast_from_rank_zero,
    close_distributed,
    init_distributed,
    rank_zero_first,
    set_threads,
)
from proxyclip.utils.termination import interrupt_on_sigterm


class TrainingFailed(RuntimeError):
    """Training cannot continue as configured; the message has the remedies."""


def train(options: TrainOptions) -> Path:
    """Train, evaluate the last checkpoint as eval.py does, and return that checkpoint.

    `options.evaluate` turns the evaluation off. Every process of a distributed run calls this; process 0 alone prints
    and writes.

    A Ctrl-C or SIGTERM stops it after the iteration, which is saved, and the command that goes on is printed.

    Raises:
        KeyboardInterrupt: stopped by a signal.
        ValueError: the config is not for training, or an earlier training has left its checkpoints.
        FileNotFoundError: the config, or data it names, do not exist.
        TrainingFailed: losses or weights became NaN.
    """
    silence_libraries()
    device = resolve_device_type(options.device)
    cfg = load_train_config(options)
    check_work_dir_writable(Path(options.work_dir))
    start = _select_start_checkpoint(options, Path(cfg.work_dir), cfg.get("starts_from"))
    rank, world = init_distributed(options.launcher, device)
    set_threads(world)
    complete_train_config(cfg, options, device, world)
    if options.check:
        notes = run_preflight(cfg, data_root=options.data_root, of_training=True)
        if rank == 0:
            print_notes(notes)
    check_code_current(cfg)
    try:
        with interrupt_on_sigterm():
            last = Path(_run(cfg, options, start, device, rank, world))
            if options.evaluate:
                _evaluate(options, last, rank)
    except KeyboardInterrupt as interruption:
        raise type(interruption)(str(interruption) or "interrupted") from None
    close_distributed()
    return last


def _select_start_checkpoint(options: TrainOptions, folder: Path, configured: str | None) -> str | None:
    """Select the checkpoint to resume, or the weights to start from; None for none.

    Args:
        configured: `starts_from` of the config, a checkpoint of another training, below `train` of the work dir.

    Raises:
        ValueError: there are checkpoints that a new training would overwrite, without --resume or --fresh.
        FileNotFoundError: there is no such file.
    """
    last = find_latest_checkpoint(folder)
    start = options.load_from
    if start is not None and not Path(start).is_file():
        raise FileNotFoundError(f"There is no file {start}: expected --load-from to be a checkpoint")
    if start is None and options.resume and last is not None:
        start = str(last)  # `_select_whole_checkpoint` reads it
    if last is not None and not (options.resume or options.fresh):
        raise ValueError(
            f"{folder} has checkpoints of an earlier training, the last one {last.name}: --resume goes on after the "
            "last that is whole, --fresh deletes them and starts anew, and another --work-dir leaves them as they are."
        )
    if start is not None or configured is None:
        return start
    path = Path(options.work_dir, "train", configured)
    if not path.is_file():
        first_config = Path("configs/trained", configured).parent.with_suffix(".py")
        raise FileNotFoundError(
            f"{options.config} starts from {path}, a checkpoint of another training, which is not there: train that "
            f"first, python train.py {first_config}, or say another one with --load-from FILE"
        )
    return str(path)


def _select_whole_checkpoint(folder: Path) -> str:
    """Select the newest checkpoint that is whole, and print what is wrong with newer ones.

    Raises:
        WeightsError: none is.
    """
    whole = find_whole_checkpoint(folder)
    for reason in whole.damaged.values() if whole.path is not None else ():
        print(f"warning: {reason} Going on after the one before it", file=sys.stderr, flush=True)
    if whole.path is None:
        reasons = " ".join(whole.damaged.values())
        raise WeightsError(
            f"None of the checkpoints in {folder} is whole: {reasons} --fresh deletes them and starts anew; --resume "
            "--load-from FILE goes on after another one"
        )
    if not whole.has_hash:
        print(f"{whole.path} has no hash beside it: its own checksums were checked", flush=True)
    return str(whole.path)


def _verify_last_checkpoint(folder: Path) -> Path:
    """Read the checkpoint that was saved last, and return its path.

    Raises:
        WeightsError: it is damaged.
    """
    last = find_latest_checkpoint(folder)
    if last is None:
        raise WeightsError(f"There is no checkpoint in {folder}, though the training has ended: was it deleted?")
    verify_checkpoint(last)
    return last


def _run(cfg: Config, options: TrainOptions, start: str | None, device: str, rank: int, world: int) -> str:
    """Train, and return the last checkpoint."""
    folder = Path(cfg.work_dir)
    if options.fresh:
        with rank_zero_first():
            remove_checkpoints(folder)
    own = options.load_from is not None or find_latest_checkpoint(folder) is not None  # not what the config starts from
    if options.resume and options.load_from is None and own:
        start = broadcast_from_rank_zero(lambda: _select_whole_checkpoint(folder))
    cfg.load_from = start
    cfg.resume = options.resume and own
    cfg.experiment_name = f"train-{Path(cfg.filename).stem}-{uuid.uuid4().hex[:8]}"  # names mmengine's global objects
    runner: Any = None
    log_hook = TrainingLogHook(get_log_interval(cfg))
    with StopSignals() as signals:
        try:
            runner = TrainRunner.from_cfg(cfg)
            runner.register_hook(log_hook)
            with rank_zero_first():  # a dataset may have to make its data first
                loops = (runner.train_loop, runner.val_loop)  # built on first access
            loops[0].signals = signals
            if rank == 0:
                _print_train_header(cfg, options, len(loops[0].dataloader.dataset), device, world, start)
            runner.train()
        except NonFiniteError as error:
            raise TrainingFailed(_explain_nonfinite(error, runner, options, folder)) from error
        except BaseException as error:
            save_and_print_way_on(runner, signals, options, folder, error)
            raise
        finally:
            log_hook.close()
    checkpoint = broadcast_from_rank_zero(lambda: str(_verify_last_checkpoint(folder)))
    if rank == 0:
        print(f"checkpoint: {checkpoint}\nto evaluate it again: {options.command(checkpoint)}", flush=True)
    return checkpoint


def _evaluate(options: TrainOptions, checkpoint: Path, rank: int) -> None:
    """Evaluate the checkpoint; if that is interrupted, print the command that goes on."""
    try:
        run_evaluation(options.evaluation(checkpoint), command="the command below")
    except KeyboardInterrupt:
        if rank == 0:
            text = f"the training is finished, {checkpoint} is its end; the evaluation goes on with\n    "
            print(f"{text}{options.command(checkpoint)}", file=sys.stderr, flush=True)
        raise


def _print_train_header(
    cfg: Config, options: TrainOptions, images: int, device: str, world: int, start: str | None
) -> None:
    dataset = unwrap_dataset_config(cfg.train_dataloader.dataset).type
    batch = cfg.train_dataloader.batch_size
    processes = "1 process" if world == 1 else f"{world} processes"
    precision = cfg.optim_wrapper.get("dtype", "bfloat16") if "Amp" in cfg.optim_wrapper.type else "float32"
    print(f"{config_name(cfg)}: {cfg.model.type} on {images} images of {dataset}", flush=True)
    print(f"{cfg.train_cfg.max_iters} iterations of {batch} images, {precision} on {device}, {processes}", flush=True)
    if options.resume and not cfg.resume:
        print("there is no checkpoint to resume: starting from the beginning", flush=True)
    if start is not None:
        print(f"{'going on after' if cfg.resume else 'starting from'} {start}", flush=True)


def _explain_nonfinite(error: Exception, runner: Any, options: TrainOptions, folder: Path) -> str:
    last = find_whole_checkpoint(folder).path
    rate = runner.cfg.optim_wrapper.optimizer.get("lr")
    lower = f"a lower learning rate, such as --cfg-options optim_wrapper.optimizer.lr={(rate or 1e-3) / 2:g}"
    without = ", or without --amp" if options.amp else ""
    text = f"Iteration {runner.iter + 1} failed: {error}. "
    if last is None:
        return f"{text}No whole checkpoint was saved before it. Start again with {lower}{without}."
    return f"{text}The last checkpoint is {last}, which is whole: go on after it with --resume and {lower}{without}."
