"""Command line that the prepare_*.py scripts share."""

import argparse
import functools
import os
import re
import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from _files import Stop
from _jobs import AGAIN, Report

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def make_parser(doc: str | None, splits: Iterable[str]) -> ArgumentParser:
    """Parser of the arguments that all scripts have; a script may add its own."""
    parser = ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    can = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    add = parser.add_argument
    add("source", type=Path, metavar="SRC", help="folder of the download, unpacked")
    add("-o", "--out-dir", type=Path, metavar="DST", help="folder the config reads (default: SRC itself)")
    add("--workers", type=_positive, default=min(can, 16), help="processes (default: %(default)s)")
    add("--force", action="store_true", help="make finished files again too")
    add("--split", nargs="+", choices=list(splits), metavar="NAME", help=f"only these of: {', '.join(splits)}")
    add("--copy", action="store_true", help="copy what is taken over unchanged, do not link it")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("expected 1 or more")
    return number


def parse(parser: ArgumentParser, argv: list[str] | None, inside: Sequence[str] = (), marker: str = "") -> Namespace:
    """Parse the arguments and resolve `source` and `out`.

    `source` is SRC, or the first of SRC's sub-folders `inside` that has the file or folder `marker` if SRC has not.
    """
    args = parser.parse_args(argv)
    source = args.source.expanduser()
    places = [source, *(source / name for name in inside)]
    args.source = next((place for place in places if (place / marker).exists()), source)
    args.out = args.out_dir.expanduser() if args.out_dir else args.source
    return args


def pick(args: Namespace, there: Collection[str], expected: str) -> list[str]:
    """Splits to do: the requested ones, or all that exist.

    Raises:
        Stop: a requested one does not exist, or there is none; `expected` describes what should be where.
    """
    wanted = args.split or list(there)
    missing = [name for name in wanted if name not in there]
    if missing or not wanted:
        what = f"there is no {' and no '.join(missing)}" if missing else "nothing of that is there"
        raise Stop(f"expected {expected}, but {what}")
    return wanted


def finish(reports: Sequence[Report], out: Path, config: str) -> int:
    """Print the next command, for the config that reads `out`; return the exit code."""
    if any(report.failed for report in reports):
        print(f"some files failed: mend them (see the errors above), then {AGAIN}")
        return 1
    found = re.search(r'data_root="{{\$DATA_ROOT:data}}/([^"]+)"', (CONFIGS / config).read_text(encoding="utf-8"))
    assert found is not None
    wanted, place = Path(found[1]).parts, out.absolute().parts
    if place[-len(wanted) :] == wanted:
        root = Path(*place[: -len(wanted)])
        print(f"check it: python datasets/check.py --config configs/{config} --data-root {shlex.quote(str(root))}")
    else:
        print(f"{config} looks for it in DIR/{found[1]}, DIR being --data-root: move or link {out} there, then")
        print(f"check it: python datasets/check.py --config configs/{config} --data-root DIR")
    return 0


def command(main: Callable[..., int]) -> Callable[..., int]:
    """Turn errors of a script into a line on stderr and an exit code."""

    @functools.wraps(main)
    def guarded(*args: Any) -> int:
        try:
            return main(*args)
        except KeyboardInterrupt:
            print(f"interrupted; to go on, {AGAIN}", file=sys.stderr)
            return 130
        except (Stop, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return getattr(error, "code", 1)

    return guarded
