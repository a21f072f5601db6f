"""Commands of the toolkit: `python -m proxyclip COMMAND`, and the scripts of the repository's root.

Each module has a `main(argv, prog)` that parses, runs and returns an exit code; errors go through `run_cli`. Nothing
heavy is imported before the arguments are parsed.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from proxyclip.utils.suggest import did_you_mean

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
        debug: print the traceback too.
        work_dir: folder for the log of the traceback; without one there is no log.
        interrupted: message after Ctrl-C, where the interruption has none of its own.
        errors: exit codes by class of error; other classes are not caught. By default all are, with their attribute
            `exit_code` or 1.
        describe: formats an error; default `format_error`.
        label: stands before the message.
    """
    try:
        return run() or 0
    except KeyboardInterrupt as interruption:
        print(str(interruption) or interrupted, file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception as error:
        codes = {Exception: getattr(error, "exit_code", EXIT_FAILED)} if errors is None else errors
        code = next((code for error_class, code in codes.items() if isinstance(error, error_class)), None)
        if code is None:
            raise
        _print_error(error, debug, work_dir if code == EXIT_FAILED else None, describe, label)
        return code


def _print_error(error: Exception, debug: bool, log_dir: str | None, describe: Callable | None, label: str) -> None:
    log = None
    try:
        if describe is not str:
            from proxyclip.engine.errors import format_error, log_failure, should_print_error

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

{prog} COMMAND --help lists the arguments of a command."""
