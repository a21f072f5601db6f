"""Pretrained weights: catalog, download, verification, loading.

`python -m proxyclip weights list | fetch NAME | verify` is the command (proxyclip/cli); `list_required_weights` of
`catalogue.py` lists the downloads that a choice of models requires. Only `reading.py` needs PyTorch.
"""

import re


class WeightsError(RuntimeError):
    """Pretrained weights are missing, unreadable or of another architecture."""


def short_reason(error: BaseException, max_length: int = 140) -> str:
    """Shorten an error to one line, for use within a message."""
    cause: BaseException | None = error
    while cause is not None:
        if "Weights only load failed" in str(cause):  # PyTorch and timm add advice to read the file carelessly
            name = re.search(r"GLOBAL ([\w.]+)", str(cause))
            return explain_pickle_refusal(name[1] if name else "")
        cause = cause.__cause__ or cause.__context__
    text = str(error).strip()
    line = (text.splitlines() or [type(error).__name__])[0].rstrip(".")
    return line if len(line) <= max_length else line[:max_length].rsplit(" ", 1)[0] + " ..."


def explain_pickle_refusal(name: str) -> str:
    """Explain the refusal of a pickle that asks for `module.name`, or for ""."""
    if not name:
        return "it is no checkpoint of tensors alone: damaged, or a pickle that wants more; nothing in it was run"
    return f"it is a pickle that asks for {name}, and what asks for more than tensors can run code; nothing was run"
