"""Commands of the toolkit: `python -m proxyclip COMMAND`, and the scripts of the repository's root.

Each module has a `main(argv, prog)` that parses, runs and returns an exit code; errors go through `run_cli`. Nothing
heavy is imported before the arguments are parsed.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from proxyclip.utils.output import lenient_output
from proxyclip.utils.suggest import did_you_mean
from proxyclip.utils.version import __version__

EXIT_FAILED = 1
EXIT_USAGE = 2  # also for a config that does not exist
EXIT_INTERRUPTED = 130

# Command -> module of this package, and one line of help.
COMMANDS = {
    "eval": ("eval", "evaluate one config (eval.py)"),
    "sweep": ("eval_all", "evaluate configs x methods x VFMs x CLIPs (eval_all.py)"),
    "train": ("train", "train the method of one config (train.py)"),
    "demo": ("demo", "segment images with any class names (demo.py)"),
    "check": ("check", "check a data set before it is scored (datasets/check.py)"),
    "weights": ("weights", "list, fetch and verify pretrained weights"),
    "tables": ("tables", "rebuild the result tables of a work dir"),
    "report": ("report", "write the HTML report of a work dir"),
    "flops": ("flops", "count parameters and FLOPs of a trained model"),
    "parity": ("parity", "compare every method with arrays of its published code"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names, and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    prog = "proxyclip" if Path(sys.argv[0]).stem == "proxyclip" else "python -m proxyclip"
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_format_usage(prog))
        return 0
    if arguments == ["--version"]:
        print(f"proxyclip {__version__}")
        return 0
    name = arguments[0]
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS) or f"expected one of {', '.join(COMMANDS)}"
        print(f"error: There is no command {name!r}: {hint}", file=sys.stderr)
        return EXIT_USAGE
    module = import_module(f"proxyclip.cli.{COMMANDS[name][0]}")
    return module.main(arguments[1:], f"{prog} {name}")


def run_cli(
    run: Callable[[], int | None],
    *,
    check: Callable[[], None] | None = None,
    debug: bool = False,
    work_dir: str | None = None,
    interrupted: str = "interrupted",
    errors: Mapping[type[Exception], int] | None = None,
    describe: Callable[[Exception], str] | None = None,
    label: str = "error",
) -> int:
    """Run a command, print its error as one message, and return the exit code.

    Args:
        run: does the work; its result is the exit code, None for 0.
        check: runs before it, imports nothing heavy, and raises for what is wrong with the arguments.
        debug: print the traceback too.
        work_dir: folder for the log of the traceback; without one there is no log.
        interrupted: message after Ctrl-C, where the interruption has none of its own.
        errors: exit codes by class of error; other classes are not caught. By default all are, with their attribute
            `exit_code` or 1.
        describe: formats an error; default `format_error`.
        label: stands before the message.
    """
    try:
        with lenient_output():
            if check is not None and (code := _check_arguments(check, errors, label)) is not None:
                return code
            return run() or 0
    except KeyboardInterrupt as interruption:
        print(str(interruption) or interrupted, file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception as error:
        code = _find_exit_code(error, errors)
        if code is None:
            raise
        _print_error(error, debug, work_dir if code == EXIT_FAILED else None, describe, label)
        return code


def _check_arguments(check: Callable[[], None], errors: Mapping[type[Exception], int] | None, label: str) -> int | None:
    """Run a check of the arguments; print its error as it is, since what formats others takes seconds to load."""
    try:
        check()
    except (OSError, ValueError) as error:
        if should_print_error():
            print(f"{label}: {error}", file=sys.stderr)
        return _find_exit_code(error, errors)
    return None


def _find_exit_code(error: Exception, errors: Mapping[type[Exception], int] | None) -> int | None:
    codes = {Exception: getattr(error, "exit_code", EXIT_FAILED)} if errors is None else errors
    return next((code for error_class, code in codes.items() if isinstance(error, error_class)), None)


def should_print_error() -> bool:
    """Return True for process 0; another process first waits to be stopped.

    All processes of a run mostly fail alike, and the launcher stops the rest as soon as one has ended.
    """
    rank = next((os.environ[n] for n in ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK") if n in os.environ), "0")
    if rank != "0":
        time.sleep(3)
    return True


def _print_error(error: Exception, debug: bool, log_dir: str | None, describe: Callable | None, label: str) -> None:
    log = None
    try:
        if describe is not str:
            from proxyclip.engine.errors import format_error, log_failure

            log = log_failure(error, Path(log_dir)) if log_dir is not None else None
            if not should_print_error():
                return
        message = (describe or format_error)(error)
    except Exception:  # the installation itself is broken
        from proxyclip.utils.mmcv_compat import explain_dependency_error

        remedy = explain_dependency_error(error)
        if debug or remedy is None:
            raise error from None
        message = remedy
    if debug:
        import traceback

        traceback.print_exception(error)
    print(f"{label}: {message}", file=sys.stderr)
    if log is not None:
        print(f"(the traceback is in {log}; --debug shows it)", file=sys.stderr)


def _format_usage(prog: str) -> str:
    commands = "\n".join(f"  {name:<9}{help_text}" for name, (_, help_text) in COMMANDS.items())
    return f"""usage: {prog} COMMAND [ARGUMENT ...]

Open-vocabulary segmentation: ProxyCLIP and its relatives on one evaluation skeleton.

commands:
{commands}

{prog} COMMAND --help lists the arguments of a command; {prog} --version prints the version."""
