"""Evaluate a grid of configs, methods, VFMs and CLIPs, each cell in a process of its own, and show one table.

Without --configs and --protocol: the tiny world, and each configs/cfg_*.py whose data are on disk. A method that uses
no VFM runs once, one that needs one runs with each of --vfms, one that can do both without and with; what does not go
together is refused, which is no failure. A cell that has a record of the same config, data, weights, vocabulary and
code is not run again, so that an interrupted grid goes on where it stopped. A failure does not stop the rest. The
output of each cell is in WORK_DIR/logs/eval_all. The exit code is 1 if a cell failed, if a config that was asked for
by name, folder or protocol has no data, or if --strict is not met; 130 after Ctrl-C.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from proxyclip.cli import EXIT_FAILED, EXIT_INTERRUPTED, run_cli
from proxyclip.engine.config.names import check_names
from proxyclip.engine.config.options import SweepOptions
from proxyclip.engine.config.protocols import list_folder_configs, list_protocol_configs
from proxyclip.utils.arguments import build_parser, read_options


def parse_sweep_options(argv: Sequence[str] | None = None, prog: str = "eval_all.py") -> SweepOptions:
    """Parse the command line; nothing heavy is imported for it."""
    form = argparse.RawDescriptionHelpFormatter
    parser = build_parser(SweepOptions, prog=prog, description=__doc__, formatter_class=form)
    options = read_options(SweepOptions, parser.parse_args(_strip_sbatch_dashes(parser, argv)))
    _check_options(parser, options)
    if options.slurm is not None and options.device == "auto":
        options = replace(options, device="cuda")  # of the machine that a task runs on, not of this one
    return replace(options, compare=options.compare or options.strict is not None)


def main(argv: Sequence[str] | None = None, prog: str = "eval_all.py") -> int:
    """Run what is missing, print the table, and return the exit code."""
    options = parse_sweep_options(argv, prog)
    errors = {OSError: EXIT_FAILED, ValueError: EXIT_FAILED}
    return run_cli(lambda: _run_sweep(options), check=lambda: check_grid_names(options), errors=errors, describe=str)


def check_grid_names(options: SweepOptions) -> None:
    """Raise where none of the configs, methods, VFMs or CLIPs exists; else a cell with a wrong name is one that fails.

    Raises:
        ConfigNotFound, FileNotFoundError, ValueError: see `check_names`.
    """
    fields = ("configs", "methods", "vfms", "clips")
    nothing: dict[str, Any] = dict.fromkeys(fields, ())
    for field in fields:
        values = [value for value in getattr(options, field) if value]
        failures = []
        for value in values:
            try:
                check_names(replace(options, **nothing | {field: (value,)}))
            except (OSError, ValueError) as error:
                failures.append(error)
        if failures and len(failures) == len(values):
            raise failures[0]


def _run_sweep(options: SweepOptions) -> int:
    from proxyclip.engine.evaluation.console import silence_libraries
    from proxyclip.engine.sweep.cell_table import print_cell_table
    from proxyclip.engine.sweep.cells import make_cells, resolve_cells
    from proxyclip.engine.sweep.display import SweepDisplay, check_reproduction
    from proxyclip.engine.sweep.run import run_cells
    from proxyclip.engine.sweep.slurm import write_slurm_script

    silence_libraries()
    interrupted = False
    script_note = ""
    grid = make_cells(options)
    prints_lines = not sys.stdout.isatty() or options.dry_run or options.slurm is not None
    view = SweepDisplay(grid, prints_lines, together=options.jobs > 1 or bool(options.gpu_names))
    try:
        with view.show_status():
            resolve_cells(grid, options, view.update)
        if options.slurm is not None and not options.dry_run:
            script_note = write_slurm_script(grid, options)
        elif not options.dry_run:
            with view.show():
                interrupted = run_cells(grid, options, view.update)
    except KeyboardInterrupt:
        interrupted = True
    print_cell_table(grid, options.markdown, options.compare)
    reproduced = True
    if options.strict is not None:
        reproduced, verdict = check_reproduction(grid, options.strict)
        print(verdict)
    if script_note:
        print(script_note)
    if interrupted:
        print("interrupted: run the same command again to go on", file=sys.stderr)
        return EXIT_INTERRUPTED
    failures = {"failed", "interrupted"} | ({"no data"} if options.configs or options.protocol else set())
    return int(not reproduced or any(cell.state in failures for cell in grid))


def _check_options(parser: argparse.ArgumentParser, options: SweepOptions) -> None:
    try:
        for name in options.protocol:
            list_protocol_configs(name)
        for name in options.configs:
            list_folder_configs(name)
    except ValueError as error:
        parser.error(str(error))
    gpu_count, gpus_per_job = len(options.gpu_names), options.gpus_per_job
    if gpus_per_job > 1 and not gpu_count:
        parser.error("--gpus-per-job needs a list of GPUs: --gpus 0,1,2,3 --gpus-per-job 2")
    if gpu_count % gpus_per_job:
        parser.error(f"expected --gpus-per-job to divide the {gpu_count} GPUs, but got {gpus_per_job}")
    if gpu_count and (options.jobs > 1 or options.device == "cpu"):
        parser.error("a list of GPUs says how many jobs there are: leave out --jobs and --device cpu")
    if options.strict is not None and not options.strict >= 0:
        parser.error(f"expected --strict to be points of mIoU, 0 or more, but got {options.strict}")
    if options.slurm is None and (options.slurm_options or options.slurm_limit):
        parser.error("--slurm-options and --slurm-limit need --slurm FILE")


def _strip_sbatch_dashes(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> list[str]:
    """Strip the dashes of sbatch's options, which argparse would take for its own; this command's keep theirs."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    inside = False
    for i, argument in enumerate(arguments):
        if argument.partition("=")[0] in parser._option_string_actions:
            inside = argument == "--slurm-options"
        elif inside and argument.startswith("--"):
            arguments[i] = argument[2:]
    return arguments
