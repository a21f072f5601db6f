"""Train the method of one config: `python train.py configs/trained/maskclip_plus/tinyworld_segformer.py`.

Checkpoints go to WORK_DIR/train/NAME; the last one is evaluated as eval.py does, with results in WORK_DIR. Without a
config: a small student on the embedded tiny world.
"""

import argparse
from collections.abc import Sequence
from functools import partial

from proxyclip.cli import run_cli
from proxyclip.cli.eval import add_local_rank, hide_gpus
from proxyclip.engine.config.names import check_names
from proxyclip.engine.config.options import DEFAULT_TRAIN_CONFIG, TrainOptions
from proxyclip.utils.arguments import add_arguments, read_options
from proxyclip.utils.termination import interrupt_on_sigterm

_EARLY_STOP = "interrupted before the training began: nothing new is saved, and the same command starts it"


def parse_train_options(argv: Sequence[str] | None = None, prog: str = "train.py") -> TrainOptions:
    """Parse the command line; nothing heavy is imported for it."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog, description=__doc__, allow_abbrev=False, formatter_class=form)
    parser.add_argument("--config", dest="named_config", metavar="CONFIG", help="the same, as eval.py takes it")
    add_arguments(parser, TrainOptions)
    add_local_rank(parser)
    parser.set_defaults(config=None)
    arguments = parser.parse_args(argv)
    if arguments.config and arguments.named_config:
        parser.error(f"expected one config, but got {arguments.config} and {arguments.named_config}")
    arguments.config = arguments.config or arguments.named_config or DEFAULT_TRAIN_CONFIG
    return read_options(TrainOptions, arguments)


def main(argv: Sequence[str] | None = None, prog: str = "train.py") -> int:
    """Train, and return the exit code: 0, 1 for a failure, 2 for a config that does not exist, 130 for a stop."""
    options = parse_train_options(argv, prog)
    hide_gpus(options.device)

    def run() -> None:
        with interrupt_on_sigterm(message=""):  # until the training has handlers of its own
            from proxyclip.engine.training.train import train

            train(options)

    check = partial(check_names, options)
    return run_cli(run, check=check, debug=options.debug, work_dir=options.work_dir, interrupted=_EARLY_STOP)
