"""`python -m proxyclip.report WORK_DIR`: write the report of a folder of results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from proxyclip.report import PICTURES, build
from proxyclip.results import replace


def main(argv: Sequence[str] | None = None) -> int:
    """Write the report; 2 and one line on stderr where that is not possible."""
    args = parse(argv)
    target = args.output or args.work_dir / "report.html"
    try:
        text = build(args.work_dir, runs=args.runs, compare=args.compare, pictures=args.pictures)
        replace(target, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 2
    print(f"{target} ({target.stat().st_size / 2**20:.1f} MiB)")
    return 0


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m proxyclip.report", description="One HTML page of all results.")
    parser.add_argument("work_dir", type=Path, help="the folder with records/ (eval.py --work-dir)")
    parser.add_argument("-o", "--output", type=Path, help="the file to write (default: WORK_DIR/report.html)")
    parser.add_argument("--runs", nargs="+", metavar="ID", help="only these runs; the start of an identity is enough")
    parser.add_argument("--compare", nargs=2, metavar=("A", "B"), help="the two runs to lay side by side at first")
    parser.add_argument("--pictures", type=_count, default=PICTURES, help="most pictures of a kind a run (%(default)s)")
    return parser.parse_args(argv)


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pictures; 0 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
