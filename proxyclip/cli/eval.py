"""Evaluate one config: `python eval.py --config configs/cfg_voc21.py`. Without arguments: the embedded tiny world."""

import argparse
import os
from collections.abc import Sequence

from proxyclip.cli import run_cli
from proxyclip.engine.config.names import check_names
from proxyclip.engine.config.options import EvalOptions
from proxyclip.utils.arguments import build_parser, read_options


def parse_eval_options(argv: Sequence[str] | None = None, prog: str = "eval.py") -> EvalOptions:
    """Parse the command line; nothing heavy is imported for it."""
    parser = build_parser(EvalOptions, prog=prog, description=__doc__)
    add_local_rank(parser)
    return read_options(EvalOptions, parser.parse_args(argv))


def main(argv: Sequence[str] | None = None, prog: str = "eval.py") -> int:
    """Evaluate, and return the exit code: 0, 1 for a failure, 2 for a config that does not exist, 130 for a stop."""
    options = parse_eval_options(argv, prog)
    hide_gpus(options.device)

    def run() -> None:
        from proxyclip.engine.evaluation.evaluate import run_evaluation

        run_evaluation(options)

    return run_cli(run, check=lambda: check_names(options), debug=options.debug, work_dir=options.work_dir)


def add_local_rank(parser: argparse.ArgumentParser) -> None:
    """Add the argument that old launchers pass; it is ignored."""
    parser.add_argument("--local-rank", "--local_rank", type=int, help=argparse.SUPPRESS)


def hide_gpus(device: str) -> None:
    """Hide the GPUs where the device is the CPU, since mmengine takes every GPU it sees."""
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
