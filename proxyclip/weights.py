"""What all loaders of pretrained weights share: one kind of error, safe reading, and a fingerprint for the records."""

from __future__ import annotations

import hashlib
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn


class WeightsError(RuntimeError):
    """Pretrained weights are missing, unreadable or of another architecture; the message says the remedy."""


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive, the form OpenAI published CLIP in."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(n.endswith("constants.pkl") for n in archive.namelist())


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint file (.safetensors, .pt, .pth, TorchScript) by name, on the CPU.

    Nested under `model`, `state_dict` or `teacher`, and the prefixes `module.` and `backbone.`, are unwrapped.
    Nothing in the file is executed: torch.load runs with weights_only=True.

    Raises:
        WeightsError: the file is missing, damaged, or holds something other than tensors.
    """
    if not path.is_file():
        raise WeightsError(f"The weights file {path} does not exist.")
    try:
        state = _read(path)
    except Exception as error:
        raise WeightsError(f"The weights file {path} cannot be read ({reason(error)}); get it again.") from error
    for key in ("model", "state_dict", "teacher"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not any(isinstance(v, Tensor) for v in state.values()):
        raise WeightsError(f"Expected named tensors in {path}, but it holds {type(state).__name__}.")
    tensors = {k: v for k, v in state.items() if isinstance(v, Tensor)}
    for prefix in ("module.", "backbone."):
        if all(k.startswith(prefix) for k in tensors):
            tensors = {k[len(prefix) :]: v for k, v in tensors.items()}
    return tensors


def _read(path: Path):
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(str(path))
    if is_torchscript(path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # old archives stay old archives
            return dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    return torch.load(path, map_location="cpu", weights_only=True)


def load_into(
    model: nn.Module,
    path: Path,
    drop: tuple[str, ...] = (),
    convert: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict,
) -> nn.Module:
    """Load a checkpoint file into `model`, every key matching.

    Args:
        drop: prefixes of keys that the file may have and the model does not want (a classifier, a decoder).
        convert: from the names of the file to those of the model.

    Raises:
        WeightsError: keys or shapes differ; the message counts them and names the first.
    """
    state = convert({k: v for k, v in read_state_dict(path).items() if not k.startswith(drop)})
    own = model.state_dict()
    missing = sorted(set(own) - set(state))
    extra = sorted(set(state) - set(own))
    shapes = sorted(k for k in set(own) & set(state) if own[k].shape != state[k].shape)
    if missing or extra or shapes:
        found = [f"{len(v)} {n} (first: {v[0]})" for n, v in _named(missing, extra, shapes) if v]
        raise WeightsError(
            f"{path} does not fit {type(model).__name__}: {', '.join(found)}. Is it the file of another architecture?"
        )
    model.load_state_dict(state)
    return model


def _named(missing: list[str], extra: list[str], shapes: list[str]) -> list[tuple[str, list[str]]]:
    return [("missing tensors", missing), ("unexpected tensors", extra), ("tensors of another shape", shapes)]


def fingerprint(module: nn.Module, skip: str = "\0") -> str:
    """SHA-256 (hex) over names, types, shapes and bytes of a module's tensors, but those whose name begins `skip`."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if name.startswith(skip):
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def reason(error: Exception, most: int = 140) -> str:
    """What went wrong, in one line of at most `most` characters, for a message that goes on."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return first if len(first) <= most else first[:most].rsplit(" ", 1)[0] + " ..."
