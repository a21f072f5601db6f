#!/usr/bin/env python
"""Evaluate one config: `python eval.py --config configs/cfg_voc21.py`. Without arguments: the embedded tiny world."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

BAD_CONFIG, FAILED, INTERRUPTED = 2, 1, 130


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line. Nothing heavy is imported for it."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--config", default="configs/cfg_tinyworld.py", help="config file (default: %(default)s)")
    add(
        "--method",
        metavar="NAME",
        help="another method: a name of configs/method, such as naclip, or my/own.py",
    )
    add(
        "--vfm", metavar="NAME", help="another VFM: dino, dino-s16, sam-b, clip, my/own.py; NAME,MODEL; NAME,FILE; none"
    )
    add("--clip", metavar="NAME", help="another CLIP: ViT-L-14, ViT-H-14,TAG, ViT-B-16,FILE, local-dir:FOLDER")
    add("--checkpoint", metavar="FILE", help="the weights of a trained model, as train.py wrote them")
    add(
        "--work-dir", "--workdir", default="work_dirs", help="for results.xlsx, records and logs (default: %(default)s)"
    )
    add("--data-root", metavar="DIR", help="folder with the data sets (default: the variable DATA_ROOT, or ./data)")
    add("--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override the config")
    add("--limit", type=int, metavar="N", help="evaluate the first N images only; the result is marked as partial")
    add("--show-dir", metavar="DIR", help="write pictures there: image, ground truth and prediction side by side")
    add(
        "--scoring",
        choices=("correct", "published"),
        default="correct",
        help="published: the ignore handling of the published ADE20K-847 and Context-459 configs, for comparison",
    )
    add("--no-check", dest="check", action="store_false", help="evaluate even if the data look wrong")
    add("--skip-bad", action="store_true", help="leave out images that cannot be read; the record names them")
    add("--fresh", action="store_true", help="start anew instead of going on after an interrupted run")
    add("--save-every", type=int, default=50, metavar="N", help="save counts every N images (default: %(default)s)")
    add(
        "--gallery",
        type=int,
        default=6,
        metavar="N",
        help="keep N best, worst and failed images (default: %(default)s)",
    )
    add("--launcher", choices=("none", "pytorch", "slurm", "mpi"), default="none", help="see dist_test.sh")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes CUDA where there is one")
    add("--workers", type=int, metavar="N", help="processes that load images (default: the config's)")
    add("--debug", action="store_true", help="show the traceback of an error")
    add("--local-rank", "--local_rank", type=int, help=argparse.SUPPRESS)  # old launchers pass it
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Evaluate, and return the exit code: 0, 1 for a failure, 2 for a config that does not exist."""
    args = vars(parse(argv))
    args.pop("local_rank")
    args["cfg_options"] = tuple(args["cfg_options"])
    if args["device"] == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # mmengine takes every GPU it sees
    try:
        from proxyclip.configs import Options
        from proxyclip.evaluation import evaluate

        evaluate(Options(**args))
    except KeyboardInterrupt as stop:
        print(str(stop) or "interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        return fail(error, args)
    return 0


def fail(error: Exception, args: dict) -> int:
    """Print an error for a person, log its traceback, and return the exit code."""
    try:
        from proxyclip.configs import ConfigNotFound
        from proxyclip.reporting import log_failure, message, speaks
    except Exception:  # the installation itself is broken
        from proxyclip.compat import explain

        if args["debug"] or explain(error) is None:
            raise error from None
        print(f"error: {explain(error)}", file=sys.stderr)
        return FAILED
    missing_config = isinstance(error, ConfigNotFound)
    log = None if missing_config else log_failure(error, Path(args["work_dir"]))
    if speaks():
        if args["debug"]:
            import traceback

            traceback.print_exception(error)
        print(f"error: {message(error)}", file=sys.stderr)
        if log is not None:
            print(f"(the traceback is in {log}; --debug shows it)", file=sys.stderr)
    return BAD_CONFIG if missing_config else FAILED


if __name__ == "__main__":
    sys.exit(main())
