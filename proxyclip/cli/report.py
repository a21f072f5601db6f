"""One HTML page of all results."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proxyclip.cli import EXIT_USAGE, run_cli
from proxyclip.utils.arguments import declare_option, parse_options
from proxyclip.utils.io import replace_file


def parse_picture_count(text: str) -> int:
    """Parse a number of pictures, 0 or more; an `argparse` type."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pictures; 0 or more")
    return int(text)


@dataclass(frozen=True)
class ReportOptions:
    """Options of `report`."""

    work_dir: str = declare_option(flags=("work_dir",), help="the folder with records/ (eval.py --work-dir)")
    output: str | None = declare_option(
        None, flags=("-o", "--output"), help="the file to write (default: WORK_DIR/report.html)"
    )
    runs: tuple[str, ...] = declare_option((), metavar="ID", help="only these runs; the start of an identity is enough")
    compare: tuple[str, ...] = declare_option(
        (), nargs=2, metavar=("A", "B"), help="the two runs to lay side by side at first"
    )
    pictures: int = declare_option(6, type=parse_picture_count, help="most pictures of a kind a run (%(default)s)")


def main(argv: Sequence[str] | None = None, prog: str = "python -m proxyclip report") -> int:
    """Write the report, and return the exit code; 2 where that is not possible."""
    options = parse_options(ReportOptions, argv, prog=prog, description=__doc__, allow_abbrev=True)
    errors = {OSError: EXIT_USAGE, ValueError: EXIT_USAGE}
    return run_cli(lambda: _write_report(options), errors=errors, describe=str, label="report")


def _write_report(options: ReportOptions) -> None:
    from proxyclip.results.report.build import build_report

    folder = Path(options.work_dir)
    target = Path(options.output) if options.output else folder / "report.html"
    text = build_report(folder, runs=options.runs or None, compare=options.compare or None, pictures=options.pictures)
    replace_file(target, lambda temporary: temporary.write_bytes(text.encode("utf-8", "replace")))
    print(f"{target} ({target.stat().st_size / 2**20:.1f} MiB)")
