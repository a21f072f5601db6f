"""Pretrained weights: which there are, where they lie, how they are got, checked and read.

`python -m proxyclip weights list | fetch NAME | verify` is the command (proxyclip/cli); `catalogue.needed` says what a
choice of models has to download. What all loaders share is in `reading.py` and can be imported from here; it is loaded
when it is first used, so that the list is there without PyTorch.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proxyclip.models.weights.reading import fingerprint_module, is_torchscript, load_weights_into, read_state_dict

__all__ = [
    "WeightsError", "fingerprint_module", "is_torchscript", "load_weights_into", "pickle_refusal", "read_state_dict",
    "short_reason",
]  # fmt: skip


class WeightsError(RuntimeError):
    """Pretrained weights are missing, unreadable or of another architecture; the message says the remedy."""


def short_reason(error: BaseException, most: int = 140) -> str:
    """What went wrong, in one line of at most `most` characters, for a message that goes on."""
    cause: BaseException | None = error
    while cause is not None:
        if "Weights only load failed" in str(cause):  # PyTorch and timm go on with advice to read the file carelessly
            asks = re.search(r"GLOBAL ([\w.]+)", str(cause))
            return pickle_refusal(asks[1] if asks else "")
        cause = cause.__cause__ or cause.__context__
    text = str(error).strip()
    first = (text.splitlines() or [type(error).__name__])[0].rstrip(".")
    return first if len(first) <= most else first[:most].rsplit(" ", 1)[0] + " ..."


def pickle_refusal(asks: str) -> str:
    """Why a pickle is refused that asks for `module.name`, or for something unknown where `asks` is empty."""
    if not asks:
        return "it is no checkpoint of tensors alone: damaged, or a pickle that wants more; nothing in it was run"
    return f"it is a pickle that asks for {asks}, and what asks for more than tensors can run code; nothing was run"


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(".reading", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
