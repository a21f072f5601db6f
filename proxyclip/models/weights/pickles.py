"""Pickles of PyTorch, of which tensors and plain values alone are read; nothing in them is run or imported."""

import pickletools
from pathlib import Path
from typing import Any

import torch

# Globals of the arguments and scores of a training, in whose place pickles get an inert stand-in; none is imported.
IGNORED_GLOBALS = (
    "argparse.Namespace", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype",
    "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePosixPath", "pathlib.PureWindowsPath",
    "pathlib._local.PosixPath", "pathlib._local.WindowsPath"
)  # fmt: skip


class _IgnoredValue:
    """Inert stand-in for a value of a training: takes arguments and state, and keeps none."""

    __slots__ = ()

    def __new__(cls, *_: Any) -> "_IgnoredValue":
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


def read_pickle(path: Path) -> Any:
    """Read a file of torch.save on the CPU, of any form but TorchScript.

    Raises:
        pickle.UnpicklingError, RuntimeError, ...: a damaged file, or one that asks for more than tensors.
    """
    allowed = torch.serialization.safe_globals([(_IgnoredValue, name) for name in IGNORED_GLOBALS])
    with allowed, path.open("rb") as file:  # of a path, torch.load would go by the name
        return torch.load(file, map_location="cpu", weights_only=True)


def find_forbidden_global(path: Path) -> str:
    """Find the first `module.name` besides tensors that a bare pickle asks for, or ""."""
    strings: list[str] = []
    with path.open("rb") as file:
        start = file.read(1 << 24)
    try:
        for code, argument, _ in pickletools.genops(start):
            if isinstance(argument, str):
                strings.append(argument.replace(" ", ".") if code.name == "GLOBAL" else argument)
            name = {"GLOBAL": strings[-1:], "STACK_GLOBAL": strings[-2:]}.get(code.name)
            if name and not name[0].startswith(("collections", "torch")) and ".".join(name) not in IGNORED_GLOBALS:
                return ".".join(name)
    except ValueError:  # no pickle, or the end of it
        pass
    return ""
