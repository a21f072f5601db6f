#!/usr/bin/env python
"""Evaluate a grid of configs, methods, VFMs and CLIPs, each cell in a process of its own, and show one table.

Without --configs: the tiny world, and each configs/cfg_*.py whose data are on disk. A method that uses no VFM runs
once, one that needs one runs with each of --vfms, one that can do both without and with; what does not go together is
refused, which is no failure. A cell that has a record of the same config, data, weights, vocabulary and code is not
run again, so that an interrupted grid goes on where it stopped. A failure does not stop the rest. The output of each
cell is in WORK_DIR/logs/eval_all. The exit code is 1 if a cell failed, if a config that was asked for by name has no
data, or if --strict is not met; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

INTERRUPTED = 130


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line. Nothing heavy is imported for it."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False, formatter_class=form)
    add = parser.add_argument
    add("--configs", nargs="+", metavar="CONFIG", help="config files (default: see above; the rest as in eval.py)")
    add("--methods", nargs="+", metavar="NAME", default=[None], help="as --method; or all (default: the config's)")
    add("--vfms", nargs="+", metavar="NAME", default=[None], help="as --vfm (default: the config's)")
    add("--clips", nargs="+", metavar="NAME", default=[None], help="as --clip (default: the config's)")
    add(
        "--work-dir", "--workdir", default="work_dirs", help="for results.xlsx, records and logs (default: %(default)s)"
    )
    add("--data-root", metavar="DIR", help="folder with the data sets (default: the variable DATA_ROOT, or ./data)")
    add("--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override every config")
    add("--limit", type=int, metavar="N", help="evaluate the first N images of each only")
    add("--scoring", choices=("correct", "published"), default="correct", help="as in eval.py")
    add("--no-check", dest="check", action="store_false", help="evaluate even if the data look wrong")
    add("--skip-bad", action="store_true", help="leave out images that cannot be read; the record names them")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes CUDA where there is one")
    add("--workers", type=int, metavar="N", help="processes that load images (default: the config's)")
    add("--dry-run", action="store_true", help="say what would run, and run nothing")
    add("--force", action="store_true", help="run also what has a record")
    add("--markdown", action="store_true", help="print the table in Markdown")
    group = parser.add_argument_group("side by side")
    add = group.add_argument
    add(
        "--gpus",
        type=_gpus,
        metavar="LIST|N",
        help="0,1,2,3: these GPUs, by the names CUDA_VISIBLE_DEVICES takes, a job on each (one GPU: '0,'); "
        "a number: processes a cell, through dist_test.sh (default: one, without it)",
    )
    add("--gpus-per-job", type=_count, default=1, metavar="N", help="GPUs of the list that share a cell (default: 1)")
    add("--jobs", type=_count, default=1, metavar="N", help="cells at once that share the CPU's cores (default: 1)")
    group = parser.add_argument_group("published results")
    add = group.add_argument
    add("--compare", action="store_true", help="show published results beside; with --dry-run: of what has a record")
    add("--strict", type=float, metavar="POINTS", help="fail unless published results are met within POINTS of mIoU")
    group = parser.add_argument_group("batch system")
    add = group.add_argument
    add("--slurm", metavar="FILE", help="write a Slurm array script, a cell a task, instead of running (see also GPUs)")
    add("--slurm-options", nargs="+", default=[], metavar="NAME=VALUE", help="of sbatch: partition=gpu time=4:00:00")
    add("--slurm-limit", type=_count, metavar="N", help="tasks of the array that run at once (default: all)")
    return _checked(parser, parser.parse_args(_without_dashes(parser, argv)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is missing, print the table, and return the exit code."""
    args = parse(argv)
    from proxyclip import reporting
    from proxyclip.grid import board, cells, compare, runs, slurm

    reporting.quiet()
    interrupted, said = False, ""
    grid = cells.make(args)
    lines = not sys.stdout.isatty() or args.dry_run or args.slurm is not None
    view = board.Board(grid, lines, together=args.jobs > 1 or isinstance(args.gpus, list))
    try:
        with view.settling():
            cells.settle(grid, args, view.tell)
        if args.slurm is not None and not args.dry_run:
            said = slurm.write(grid, args)
        elif not args.dry_run:
            with view.show():
                interrupted = runs.run(grid, args, view.tell)
    except KeyboardInterrupt:
        interrupted = True
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    board.table(grid, args.markdown, args.compare)
    met = True
    if args.strict is not None:
        met, verdict = compare.verdict(grid, args.strict)
        print(verdict)
    if said:
        print(said)
    if interrupted:
        print("interrupted: run the same command again to go on", file=sys.stderr)
        return INTERRUPTED
    wrong = {"failed", "interrupted"} | ({"no data"} if args.configs else set())
    return int(not met or any(cell.state in wrong for cell in grid))


def _checked(parser: argparse.ArgumentParser, args: argparse.Namespace) -> argparse.Namespace:
    listed = isinstance(args.gpus, list)
    if args.gpus_per_job > 1 and not listed:
        parser.error("--gpus-per-job needs a list of GPUs: --gpus 0,1,2,3 --gpus-per-job 2")
    if listed and len(args.gpus) % args.gpus_per_job:
        parser.error(f"expected --gpus-per-job to divide the {len(args.gpus)} GPUs, but got {args.gpus_per_job}")
    if listed and (args.jobs > 1 or args.device == "cpu"):
        parser.error("a list of GPUs says how many jobs there are: leave out --jobs and --device cpu")
    if args.strict is not None and not args.strict >= 0:
        parser.error(f"expected --strict to be points of mIoU, 0 or more, but got {args.strict}")
    if args.slurm is None and (args.slurm_options or args.slurm_limit):
        parser.error("--slurm-options and --slurm-limit need --slurm FILE")
    if args.slurm is not None and args.device == "auto":
        args.device = "cuda"  # of the machine that a task runs on, not of this one
    args.compare = args.compare or args.strict is not None
    return args


def _gpus(text: str) -> int | list[str]:
    """A number of processes, or the names of GPUs."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if "," in text and names and len(set(names)) == len(names):
        return names
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(
        f"expected different GPUs such as 0,1,2,3 (one GPU: '0,'), or a number of processes a cell, but got {text!r}"
    )


def _count(text: str) -> int:
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a number, 1 or more, but got {text!r}")


def _without_dashes(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> list[str]:
    """argparse takes no value that begins with dashes: the options of sbatch lose theirs, if they are none of ours."""
    words, inside = list(sys.argv[1:] if argv is None else argv), False
    for i, word in enumerate(words):
        if word.partition("=")[0] in parser._option_string_actions:
            inside = word == "--slurm-options"
        elif inside and word.startswith("--"):
            words[i] = word[2:]
    return words


if __name__ == "__main__":
    sys.exit(main())
