"""Methods that have reference arrays; nothing heavy is imported."""

from collections.abc import Iterable
from pathlib import Path

from proxyclip.utils.suggest import did_you_mean


class UnknownParityMethod(ValueError):
    """A method without cases."""

    exit_code = 2  # of the command, as for a wrong argument


def list_parity_methods() -> list[str]:
    """List the methods that have cases."""
    files = (Path(__file__).parent / "methods").glob("*.py")
    return sorted(path.stem for path in files if not path.stem.startswith("_"))


def check_parity_methods(names: Iterable[str]) -> None:
    """Raise UnknownParityMethod for a method without cases; the message lists those that have."""
    methods = list_parity_methods()
    for name in names:
        if name not in methods:
            hint = did_you_mean(name, methods) or f"expected one of {', '.join(methods)}"
            raise UnknownParityMethod(f"There is no method {name!r} with reference arrays: {hint}")
