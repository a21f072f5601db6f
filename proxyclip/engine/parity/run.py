"""Run the cases of methods."""

import tempfile
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

from proxyclip.engine.parity.cases import ParityCase, ParityResult, run_case
from proxyclip.engine.parity.method_names import check_parity_methods
from proxyclip.engine.parity.reference import GoldenSet
from proxyclip.engine.parity.world import ParityWorld

METHODS_PACKAGE = "proxyclip.engine.parity.methods"


def load_parity_cases(method: str) -> tuple[ParityCase, ...]:
    """Load the cases of a method.

    Raises:
        UnknownParityMethod: it has none; the message lists the methods that have.
    """
    check_parity_methods([method])
    return import_module(f"{METHODS_PACKAGE}.{method}").CASES


def run_parity(cases: Iterable[ParityCase], golden: GoldenSet) -> Iterator[ParityResult]:
    """Run cases on the CPU in float32, and yield the result of each stage."""
    with tempfile.TemporaryDirectory(prefix="proxyclip-parity-") as folder:
        world = ParityWorld(golden, Path(folder))
        for case in cases:
            yield from run_case(case, world)
