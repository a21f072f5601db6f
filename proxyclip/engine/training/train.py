"""Train from options to checkpoint and evaluation: what train.py runs."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import Any

from mmengine.config import Config

from proxyclip.engine.config import load as configs
from proxyclip.engine.config import train as settings
from proxyclip.engine.config.options import TrainOptions
from proxyclip.engine.evaluation.console import silence_libraries
from proxyclip.engine.evaluation.evaluate import evaluate, pick_device
from proxyclip.engine.evaluation.record import check_work_dir_writable
from proxyclip.engine.training import checkpoint as checkpoints
from proxyclip.engine.training.log import TrainingLines
from proxyclip.engine.training.runner import TrainRunner
from proxyclip.models.trained.nonfinite import NonFiniteLoss, NonFiniteWeights
from proxyclip.utils.distributed import (
    close_distributed,
    first_process_first,
    first_process_says,
    init_distributed,
    set_threads,
    sigterm_interrupts,
)


class TrainingFailed(RuntimeError):
    """Training cannot continue as configured; the message has the remedies."""


def train(options: TrainOptions) -> Path:
    """Train, evaluate the last checkpoint as eval.py does, and return that checkpoint.

    `options.evaluate` turns the evaluation off.

    Every process of a distributed run calls this; process 0 alone prints and writes.

    Raises:
        ValueError: the config is not for training, or an earlier training has left its checkpoints.
        FileNotFoundError: the config, or data it names, do not exist.
        TrainingFailed: losses or weights became NaN.
    """
    silence_libraries()
    device = pick_device(options.device)
    cfg = settings.load(options)
    check_work_dir_writable(Path(options.work_dir))
    start = _start(options, Path(cfg.work_dir), cfg.get("starts_from"))
    rank, world = init_distributed(options.launcher, device)
    set_threads(world)
    settings.settle(cfg, options, device, world)
    with sigterm_interrupts():
        last = Path(_run(cfg, options, start, device, rank, world))
        if options.evaluate:
            evaluate(options.evaluation(last))
    close_distributed()
    return last


def _start(options: TrainOptions, folder: Path, configured: str | None) -> str | None:
    """Select the checkpoint to resume, or the weights to start from; None for none.

    Args:
        configured: `starts_from` of the config, a checkpoint of another training, below the folder `train` of the work
            dir.

    Raises:
        ValueError: there are checkpoints that a new training would overwrite, without --resume or --fresh.
        FileNotFoundError: there is no such file.
    """
    last = checkpoints.latest(folder)
    start = options.load_from
    if start is not None and not Path(start).is_file():
        raise FileNotFoundError(f"There is no file {start}: expected --load-from to be a checkpoint")
    if start is None and options.resume and last is not None:
        start = str(last)
    if last is not None and not (options.resume or options.fresh):
        raise ValueError(
            f"{folder} has checkpoints of an earlier training, the last one {last.name}: --resume goes on after it, "
            "--fresh deletes them and starts anew, and another --work-dir leaves them as they are."
        )
    return start or (_usual(options, configured) if configured is not None else None)


def _usual(options: TrainOptions, file: str) -> str:
    path = Path(options.work_dir, "train", file)
    if not path.is_file():
        first_config = Path("configs/trained", file).parent.with_suffix(".py")
        raise FileNotFoundError(
            f"{options.config} starts from {path}, a checkpoint of another training, which is not there: train that "
            f"first, python train.py {first_config}, or say another one with --load-from FILE"
        )
    return str(path)


def _run(cfg: Config, options: TrainOptions, start: str | None, device: str, rank: int, world: int) -> str:
    """Train, and return the last checkpoint."""
    folder = Path(cfg.work_dir)
    if options.fresh:
        with first_process_first():
            checkpoints.remove(folder)
    own = options.load_from is not None or checkpoints.latest(folder) is not None  # not what the config starts from
    cfg.load_from = start
    cfg.resume = options.resume and own
    cfg.experiment_name = f"train-{Path(cfg.filename).stem}-{uuid.uuid4().hex[:8]}"  # names mmengine's global objects
    runner: Any = TrainRunner.from_cfg(cfg)
    lines = TrainingLines(settings.interval_of_lines(cfg))
    runner.register_hook(lines)
    with first_process_first():  # a dataset may have to make its data first
        loops = (runner.train_loop, runner.val_loop)  # built on first access
    image_count = len(loops[0].dataloader.dataset)
    if rank == 0:
        _announce(cfg, options, image_count, device, world, start)
    try:
        runner.train()
    except (NonFiniteLoss, NonFiniteWeights) as error:
        raise TrainingFailed(_remedy(error, runner, options, folder)) from error
    except BaseException as error:
        if rank == 0:
            _say_saved(folder, error)
        raise
    finally:
        lines.close()
    last = first_process_says(lambda: str(checkpoints.latest(folder)))
    if rank == 0:
        print(f"checkpoint: {last}\nto evaluate it again: {options.command(last)}", flush=True)
    return last


def _announce(cfg: Config, options: TrainOptions, images: int, device: str, world: int, start: str | None) -> None:
    dataset = settings.innermost(cfg.train_dataloader.dataset).type
    batch = cfg.train_dataloader.batch_size
    processes = "1 process" if world == 1 else f"{world} processes"
    precision = cfg.optim_wrapper.get("dtype", "bfloat16") if "Amp" in cfg.optim_wrapper.type else "float32"
    print(f"{configs.config_name(cfg)}: {cfg.model.type} on {images} images of {dataset}", flush=True)
    print(f"{cfg.train_cfg.max_iters} iterations of {batch} images, {precision} on {device}, {processes}", flush=True)
    if options.resume and not cfg.resume:
        print("there is no checkpoint to resume: starting from the beginning", flush=True)
    if start is not None:
        print(f"{'going on after' if cfg.resume else 'starting from'} {start}", flush=True)


def _say_saved(folder: Path, error: BaseException) -> None:
    last = checkpoints.latest(folder)
    if last is not None:
        print(f"{last} is saved; the same command with --resume goes on after it", file=sys.stderr, flush=True)
    elif not isinstance(error, Exception):  # interrupted
        print("no checkpoint is saved yet", file=sys.stderr, flush=True)


def _remedy(error: Exception, runner: Any, options: TrainOptions, folder: Path) -> str:
    last = checkpoints.latest(folder)
    rate = runner.cfg.optim_wrapper.optimizer.get("lr")
    lower = f"a lower learning rate, such as --cfg-options optim_wrapper.optimizer.lr={(rate or 1e-3) / 2:g}"
    without = ", or without --amp" if options.amp else ""
    text = f"Iteration {runner.iter + 1} failed: {error}. "
    if last is None:
        return f"{text}No checkpoint was saved before it. Start again with {lower}{without}."
    return f"{text}The last checkpoint is {last}, which is whole: go on after it with --resume and {lower}{without}."
