"""Compare every method on tiny random weights with arrays that its published code computed.

It runs offline, on the CPU in float32, in seconds: before numbers of a new machine or version of PyTorch are trusted,
and after a method has been changed. The exit code is 1 if an array differs by more than its tolerance.
"""

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proxyclip.cli import EXIT_FAILED, run_cli
from proxyclip.engine.parity.method_names import check_parity_methods, list_parity_methods
from proxyclip.utils.arguments import declare_option, parse_options

if TYPE_CHECKING:
    from proxyclip.engine.parity.cases import ParityResult, Tolerance


@dataclass(frozen=True)
class ParityOptions:
    """Options of `parity`."""

    methods: tuple[str, ...] = declare_option(
        (), flags=("methods",), nargs="*", metavar="METHOD", help="what to compare, such as naclip (default: all)"
    )
    golden: str | None = declare_option(
        None, metavar="FOLDER", help="folder of the arrays (default: tests/golden of the checkout)"
    )
    failed: bool = declare_option(False, help="list only what differs by more than its tolerance")


def main(argv: Sequence[str] | None = None, prog: str = "python -m proxyclip parity") -> int:
    """Print the comparison, and return the exit code.

    Returns:
        0, 1 if a stage differs by more than its tolerance, 2 for an unknown method or a folder without arrays.
    """
    options = parse_options(ParityOptions, argv, prog=prog, description=__doc__)
    return run_cli(lambda: _run_parity(options), check=lambda: check_parity_methods(options.methods))


def _run_parity(options: ParityOptions) -> int:
    from proxyclip.engine.evaluation.console import make_console, silence_libraries
    from proxyclip.engine.parity.reference import GoldenSet
    from proxyclip.engine.parity.run import load_parity_cases, run_parity

    silence_libraries()
    golden = GoldenSet(Path(options.golden) if options.golden else None)
    cases = [case for method in options.methods or list_parity_methods() for case in load_parity_cases(method)]
    start = time.monotonic()
    with make_console(sys.stderr).status("comparing"):  # shown in a terminal only
        results = list(run_parity(cases, golden))
    _print_results([result for result in results if not (options.failed and result.passed)])
    failures = [result for result in results if not result.passed]
    for result in failures:
        if result.problem:
            print(f"{_format_name(result)}: {result.problem}")
    counts = f"{len(results)} stages of {len(cases)} cases in {time.monotonic() - start:.0f} s"
    if failures:
        print(f"{counts}: {len(failures)} beyond tolerance, {', '.join(map(_format_name, failures))}")
        return EXIT_FAILED
    print(f"{counts}: all within tolerance")
    return 0


def _print_results(results: Sequence["ParityResult"]) -> None:
    from proxyclip.utils.text_table import TextTable, measure_columns

    print(_format_versions())
    if not results:
        return
    rows = []
    for result in results:
        cells = (result.method, result.case, result.stage, format_stage_difference(result), format_tolerance(result))
        rows.append((*cells, "equal" if result.passed else "error" if result.problem else "differs"))
    titles = ("method", "case", "stage", "difference", "tolerance", "verdict")
    table = TextTable(titles, rows, right=("difference", "tolerance"))
    table.drop_constant_columns("method")
    table.shrink(measure_columns(), "case", "stage")
    table.print()


def _format_versions() -> str:
    """Format what the numbers depend on, besides the code."""
    import platform

    import numpy
    import open_clip
    import timm
    import torch

    versions = ((module.__name__, module.__version__) for module in (torch, open_clip, timm, numpy))
    listed = ", ".join(f"{name} {version}" for name, version in versions)
    return f"{listed}; float32 on {platform.machine()}, {torch.get_num_threads()} threads"


def format_stage_difference(result: "ParityResult") -> str:
    """Format the largest difference, or the number of elements that differ where that is what counts."""
    if result.problem:
        return "-"
    tolerance = result.tolerance
    if _counts_outliers(tolerance):
        return f"{result.outliers} of {result.size}"
    outliers = result.outliers if tolerance.bound is not None else 0
    return f"{result.difference:.1e}" + (f", {outliers} of {result.size} beyond" if outliers else "")


def format_tolerance(result: "ParityResult") -> str:
    """Format the tolerance of a result in the terms of `format_stage_difference`."""
    tolerance = result.tolerance
    allowed = tolerance.count_allowed(result.size)
    if _counts_outliers(tolerance):
        bound = f" by {tolerance.bound:g}" if tolerance.bound and math.isfinite(tolerance.bound) else ""
        return f"{allowed} may differ{bound}"
    if tolerance.bound is None:
        return f"{tolerance.limit:.0e}" if tolerance.limit else "exact"
    return f"{tolerance.limit:.0e}, {allowed} up to {tolerance.bound:.0e}"


def _counts_outliers(tolerance: "Tolerance") -> bool:
    """Return True for labels and counts, which are equal or not."""
    return tolerance.limit == 0 and tolerance.bound is not None


def _format_name(result: "ParityResult") -> str:
    return f"{result.method}/{result.case}/{result.stage}"
