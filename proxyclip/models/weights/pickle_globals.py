"""Names that a pickle of tensors may ask for, and what it gets in their place; nothing is imported by name."""

import pickle
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch

from proxyclip.models.weights import explain_pickle_refusal

# Globals of the arguments and scores of a training, in whose place pickles get an inert stand-in; none is imported.
IGNORED_GLOBALS = (
    "argparse.Namespace", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype",
    "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePosixPath", "pathlib.PureWindowsPath",
    "pathlib._local.PosixPath", "pathlib._local.WindowsPath"
)  # fmt: skip


class PickleRefused(pickle.UnpicklingError):
    """A pickle that is damaged or asks for more than tensors.

    Attributes:
        name: the `module.name` that it asks for, or "".
    """

    def __init__(self, name: str = "", reason: str = "") -> None:
        super().__init__(reason or explain_pickle_refusal(name))
        self.name = name


class PickleFunction:
    """A function that pickles may call; itself it is not callable."""

    __slots__ = ("apply",)

    def __init__(self, apply: Callable[..., Any]) -> None:
        self.apply = apply


class IgnoredValue:
    """Inert stand-in for a value of a training."""

    __slots__ = ()


class ScriptClass:
    """The name of a class of TorchScript, without its code."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class ScriptObject:
    """Attributes of an object of TorchScript, as they were saved; `attributes` is None before they are set."""

    __slots__ = ("attributes", "class_name")

    def __init__(self, class_name: str) -> None:
        self.class_name = class_name
        self.attributes: dict[str, Any] | None = None


def set_versions(state_dict: Any, state: Any) -> None:
    """Keep the versions of modules that PyTorch saves with a state dict."""
    metadata = state.get("_metadata") if type(state) is dict else None
    if isinstance(metadata, Mapping):
        entries = {k: v for k, v in metadata.items() if type(k) is str and isinstance(v, dict)}
        versions = {k: v["version"] for k, v in entries.items() if type(v.get("version")) is int}
        state_dict._metadata = OrderedDict((key, {"version": value}) for key, value in versions.items())


def _encode_text(text: str, encoding: str = "latin1") -> bytes:
    if type(text) is not str or encoding not in ("latin1", "latin-1", "utf-8", "utf8", "ascii"):
        raise PickleRefused("_codecs.encode")
    return text.encode(encoding)


def _make_bytearray(value: Any = b"", *encoding: Any) -> bytearray:
    if type(value) is bytes and not encoding:
        return bytearray(value)
    return bytearray(_encode_text(value, *encoding))


def _make_counter(counts: Any = None) -> Any:
    if not isinstance(counts, dict | None):
        raise PickleRefused("collections.Counter")
    return Counter(counts or {})


def _make_device(kind: str, *index: int) -> torch.device:
    return torch.device(kind, *index)


PICKLE_GLOBALS: dict[str, Any] = {
    "_codecs.encode": PickleFunction(_encode_text),
    "builtins.bytearray": PickleFunction(_make_bytearray),
    "builtins.complex": PickleFunction(complex),
    "collections.Counter": PickleFunction(_make_counter),
    "torch.Size": PickleFunction(lambda sizes=(): torch.Size(sizes)),
    "torch.device": PickleFunction(_make_device),
    **{f"torch.{name}": value for name, value in vars(torch).items() if isinstance(value, torch.dtype)},
}
SCRIPT_GLOBALS = {
    f"torch.jit._pickle.{name}": PickleFunction(lambda value, *_: value)
    for name in ("build_boollist", "build_doublelist", "build_intlist", "build_tensorlist", "restore_type_tag")
}
