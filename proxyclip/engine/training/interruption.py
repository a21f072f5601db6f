"""Early end of a training: save what is finished, and say how to go on."""

import os
import shlex
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process

from proxyclip.engine.config.options import TrainOptions
from proxyclip.engine.errors import format_error
from proxyclip.engine.training.checkpoint import SafeCheckpointHook, find_whole_checkpoint
from proxyclip.engine.training.stop_signals import StopSignals
from proxyclip.utils.arguments import to_command


def save_finished_iteration(runner: Any, signals: StopSignals) -> Path | None:
    """Save the iteration that has ended, in process 0; None without a whole state.

    Signals are ignored meanwhile. An iteration that is saved already is not saved again.

    Raises:
        OSError: for example a full disk; older checkpoints are as they were.
        NonFiniteError: weights are not finite.
    """
    hook = next((hook for hook in getattr(runner, "hooks", ()) if isinstance(hook, SafeCheckpointHook)), None)
    if hook is None or not is_main_process() or not getattr(runner._train_loop, "is_whole", False):
        return None
    with signals.saving():
        try:
            return hook.save_between_iterations(runner)
        except RuntimeError as error:  # torch's signal handler reports a dead loader process just now; it does so once
            if "DataLoader worker" not in str(error):
                raise
            return hook.save_between_iterations(runner)


def save_and_print_way_on(
    runner: Any, signals: StopSignals, options: TrainOptions, folder: Path, error: BaseException
) -> None:
    """Save the finished iteration after an error or a signal; print how to go on.

    Args:
        runner: None before there is one.

    Raises:
        OSError: the disk is full; printed is how to go on after the last whole checkpoint.
    """
    failure: Exception | None = None
    saved = None
    try:
        saved = save_finished_iteration(runner, signals) if runner is not None else None
    except Exception as problem:
        failure = problem
        print(f"iteration {runner.iter} cannot be saved: {format_error(problem)}", file=sys.stderr, flush=True)
    last = find_whole_checkpoint(folder).path if is_main_process() else None
    if last is not None:
        text = f"{last} is saved; the same command with --resume goes on after it"
        command = format_resume_command(options, signals.world, is_new=saved is not None)
        print(f"{text}:\n    {command}" if command else text, file=sys.stderr, flush=True)
    elif is_main_process() and not isinstance(error, Exception):
        print("no checkpoint is saved yet: no iteration has ended", file=sys.stderr, flush=True)
    if failure is not None and not isinstance(error, Exception):
        raise failure from error


def format_resume_command(options: TrainOptions, processes: int, is_new: bool = True) -> str:
    """Format the command line that goes on; empty where the launcher has its own.

    Args:
        is_new: the last checkpoint was saved by this training, which goes on after that one whatever it started from.
    """
    options = replace(options, resume=True, fresh=False, load_from=None if is_new else options.load_from)
    names = [item.name for item in fields(options) if item.name not in ("config", "cfg_options", "launcher", "debug")]
    arguments = to_command(options, [*names, "cfg_options"])
    if options.launcher == "none":
        config = to_command(options, ("config",))
        return shlex.join(["python", "train.py", *config, *arguments])
    if options.launcher == "pytorch" and os.environ.get("NNODES", "1") == "1":
        return shlex.join(["bash", "dist_train.sh", options.config, str(processes), *arguments])
    return ""
