"""Run the cases of methods."""

import tempfile
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

from proxyclip.engine.parity.cases import ParityCase, ParityResult, run_case
from proxyclip.engine.parity.reference import GoldenSet
from proxyclip.engine.parity.world import ParityWorld
from proxyclip.utils.suggest import did_you_mean

METHODS_PACKAGE = "proxyclip.engine.parity.methods"


class UnknownParityMethod(ValueError):
    """A method without cases."""

    exit_code = 2  # of the command, as for a wrong argument


def list_parity_methods() -> list[str]:
    """List the methods that have cases."""
    files = (Path(__file__).parent / "methods").glob("*.py")
    return sorted(path.stem for path in files if not path.stem.startswith("_"))


def load_parity_cases(method: str) -> tuple[ParityCase, ...]:
    """Load the cases of a method.

    Raises:
        UnknownParityMethod: it has none; the message lists the methods that have.
    """
    methods = list_parity_methods()
    if method not in methods:
        hint = did_you_mean(method, methods) or f"expected one of {', '.join(methods)}"
        raise UnknownParityMethod(f"There is no method {method!r} with reference arrays: {hint}")
    return import_module(f"{METHODS_PACKAGE}.{method}").CASES


def run_parity(cases: Iterable[ParityCase], golden: GoldenSet) -> Iterator[ParityResult]:
    """Run cases on the CPU in float32, and yield the result of each stage."""
    with tempfile.TemporaryDirectory(prefix="proxyclip-parity-") as folder:
        world = ParityWorld(golden, Path(folder))
        for case in cases:
            yield from run_case(case, world)
