#!/usr/bin/env python
"""Train the method of one config: `python train.py configs/trained/maskclip_plus/tinyworld_segformer.py`.

Checkpoints go to WORK_DIR/train/NAME; the last one is evaluated as eval.py does, with results in WORK_DIR. Without a
config: a small student on the embedded tiny world.
"""

from __future__ import annotations

import argparse
import os
import sys

from eval import INTERRUPTED, fail

DEFAULT = "configs/trained/maskclip_plus/tinyworld_segformer.py"


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line. Nothing heavy is imported for it."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False, formatter_class=form)
    add = parser.add_argument
    add("config", nargs="?", metavar="CONFIG", help=f"config file (default: {DEFAULT})")
    add("--config", dest="named", metavar="CONFIG", help="the same, as eval.py takes it")
    add("--work-dir", "--workdir", default="work_dirs", help="for checkpoints, results, logs (default: %(default)s)")
    add("--data-root", metavar="DIR", help="folder with the data sets (default: the variable DATA_ROOT, or ./data)")
    add("--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override the config")
    add("--load-from", metavar="FILE", help="start from these weights; with --resume: go on after this checkpoint")
    how = parser.add_mutually_exclusive_group().add_argument
    how("--resume", action="store_true", help="go on after the last checkpoint; from the beginning if there is none")
    how("--fresh", action="store_true", help="start anew, and delete the checkpoints of an earlier training")
    add("--amp", action="store_true", help="mixed precision: float16 on CUDA, bfloat16 on a CPU")
    add("--seed", type=int, metavar="N", help="of all random numbers (default: the config's, or 0)")
    add("--no-eval", dest="evaluate", action="store_false", help="do not evaluate the last checkpoint")
    add("--launcher", choices=("none", "pytorch", "slurm", "mpi"), default="none", help="see dist_train.sh")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes CUDA where there is one")
    add("--workers", type=int, metavar="N", help="processes that load images (default: the config's)")
    add("--debug", action="store_true", help="show the traceback of an error")
    add("--local-rank", "--local_rank", type=int, help=argparse.SUPPRESS)  # old launchers pass it
    args = parser.parse_args(argv)
    if args.config and args.named:
        parser.error(f"expected one config, but got {args.config} and {args.named}")
    args.config = args.config or args.named or DEFAULT
    return args


def main(argv: list[str] | None = None) -> int:
    """Train, and return the exit code: 0, 1 for a failure, 2 for a config that does not exist, 130 for a stop."""
    args = vars(parse(argv))
    del args["local_rank"], args["named"]
    args["cfg_options"] = tuple(args["cfg_options"])
    if args["device"] == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # mmengine takes every GPU it sees
    try:
        from proxyclip.trained.options import TrainOptions
        from proxyclip.trained.training import train

        train(TrainOptions(**args))
    except KeyboardInterrupt as stop:
        print(str(stop) or "interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        return fail(error, args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
