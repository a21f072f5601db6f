"""Pretrained weights: list what there is, fetch it, verify what is kept."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import WeightsError


def main(argv: list[str] | None = None) -> int:
    """Run one of the commands and return its exit code: 1 if something is missing or wrong, 2 for unknown names."""
    args = _parser().parse_args(argv)
    try:
        return args.run(args)
    except WeightsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m proxyclip.weights", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="list | fetch | verify")
    one = commands.add_parser("list", help="all CLIPs and VFMs with a short name, and which are on this machine")
    one.add_argument("--json", action="store_true", help="the same for programs")
    one.set_defaults(run=_list)
    one = commands.add_parser("fetch", help="download weights and check them")
    one.add_argument("names", nargs="+", metavar="NAME", help="words of --clip or --vfm, such as ViT-B-16 or dino")
    one.add_argument("--to", type=Path, metavar="FOLDER", help="put them and their config there, for local-dir:FOLDER")
    one.add_argument("--offline", action="store_true", help="fetch nothing, only say what is here")
    one.set_defaults(run=_fetch)
    one = commands.add_parser("verify", help="check hash and form of what is kept; exit code 1 if something is wrong")
    one.add_argument("names", nargs="*", metavar="NAME|FILE|FOLDER", help="what to check; default all that is kept")
    one.set_defaults(run=_verify)
    return parser


def _list(args: argparse.Namespace) -> int:
    from .tables import print_json, print_list

    print_json() if args.json else print_list()
    return 0


def _fetch(args: argparse.Namespace) -> int:
    from .catalogue import find
    from .fetch import fetch

    chosen = [find(name) for name in args.names]  # a wrong name is told before anything is fetched
    if args.to and len(chosen) > 1:
        raise ValueError(f"--to expected one name, since the folder is one model's, but got {', '.join(args.names)}")
    code = 0
    for entry in chosen:
        try:
            fetch(entry, args.to, args.offline)
        except WeightsError as error:
            print(f"error: {error}", file=sys.stderr)
            code = 1
    return code


def _verify(args: argparse.Namespace) -> int:
    from . import verify
    from .tables import print_verdicts

    return 0 if print_verdicts(verify.named(args.names) if args.names else verify.kept()) else 1


if __name__ == "__main__":
    sys.exit(main())
