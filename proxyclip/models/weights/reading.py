"""Safe reading of weights files, and fingerprints of modules."""

import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from proxyclip.models.weights import WeightsError, explain_pickle_refusal, short_reason
from proxyclip.utils.hashing import hash_chunks


def is_torchscript(path: Path) -> bool:
    """Return True for a TorchScript archive, the form OpenAI published CLIP in."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("constants.pkl") for name in archive.namelist())


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint file by name, on the CPU.

    Formats are .safetensors, .pt, .pth and TorchScript. Nested under `model`, `state_dict` or `teacher`, and the
    prefixes `module.` and `backbone.`, are unwrapped. Nothing in the file is executed: torch.load runs with
    weights_only=True, and TorchScript with code that runs on reading is refused.

    Raises:
        WeightsError: the file is missing, damaged, or holds something other than tensors.
    """
    if not path.is_file():
        raise WeightsError(f"The weights file {path} does not exist.")
    try:
        state = _read(path)
    except Exception as error:
        reason = short_reason(error)
        if reason == explain_pickle_refusal(""):
            reason = explain_pickle_refusal(_find_forbidden_global(path))
        raise WeightsError(f"The weights file {path} cannot be read ({reason}); get it again.") from error
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


def _read(path: Path) -> Any:
    with path.open("rb") as file:
        start = file.read(2)
    if not start or (start == b"PK" and not zipfile.is_zipfile(path)):
        raise ValueError("it is cut short" if start else "it is empty")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(str(path))
    if is_torchscript(path):
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():  # a `__setstate__` runs on reading
                if entry.filename.endswith(".py") and re.search(rb"def\s+__setstate__", archive.read(entry)):
                    raise ValueError(
                        f"{entry.filename} in it has code that runs when it is read; nothing in it was run"
                    )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # for old archives
            return dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    return torch.load(path, map_location="cpu", weights_only=True)


def check_weights_readable(path: Path) -> None:
    """Check that a weights file holds tensors only, and all of them.

    Of a .safetensors file only the header is read.

    Raises:
        WeightsError: damaged, cut short, or a pickle that wants more than tensors; the message names the culprit.
    """
    if path.suffix != ".safetensors":
        read_state_dict(path)
        return
    from safetensors import safe_open

    try:
        with safe_open(str(path), "pt") as file:
            empty = not file.keys()
    except Exception as error:
        raise WeightsError(f"The weights file {path} cannot be read ({short_reason(error)}); get it again.") from error
    if empty:
        raise WeightsError(f"Expected named tensors in {path}, but it holds none.")


def _find_forbidden_global(path: Path) -> str:
    """First `module.name` besides tensors that a bare pickle asks for, or ""."""
    strings: list[str] = []
    with path.open("rb") as file:
        start = file.read(1 << 24)
    try:
        for code, argument, _ in pickletools.genops(start):
            if isinstance(argument, str):
                strings.append(argument.replace(" ", ".") if code.name == "GLOBAL" else argument)
            name = {"GLOBAL": strings[-1:], "STACK_GLOBAL": strings[-2:]}.get(code.name)
            if name and not name[0].startswith(("collections", "torch")):
                return ".".join(name)
    except ValueError:  # no pickle, or the end of it
        pass
    return ""


def load_weights_into(
    model: nn.Module,
    path: Path,
    drop: tuple[str, ...] = (),
    convert: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict,
) -> nn.Module:
    """Load a checkpoint file into `model`, every key matching.

    Args:
        drop: prefixes of keys that the file may have and the model does not (a classifier, a decoder).
        convert: from the names of the file to those of the model.

    Raises:
        WeightsError: keys or shapes differ; the message counts them and names the first.
    """
    state = convert({k: v for k, v in read_state_dict(path).items() if not k.startswith(drop)})
    own = model.state_dict()
    differences = {
        "missing tensors": sorted(set(own) - set(state)),
        "unexpected tensors": sorted(set(state) - set(own)),
        "tensors of another shape": sorted(k for k in set(own) & set(state) if own[k].shape != state[k].shape),
    }
    problems = [f"{len(keys)} {problem} (first: {keys[0]})" for problem, keys in differences.items() if keys]
    if problems:
        misfit = f"{path} does not fit {type(model).__name__}: {', '.join(problems)}"
        raise WeightsError(f"{misfit}. Is it the file of another architecture?")
    model.load_state_dict(state)
    return model


def fingerprint_module(module: nn.Module, skip: str = "\0") -> str:
    """Hash names, types, shapes and bytes of tensors whose name does not begin `skip`."""

    def iter_chunks() -> Iterator[Any]:
        for name, tensor in sorted(module.state_dict().items()):
            if not name.startswith(skip):
                yield f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode()
                yield tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()

    return hash_chunks(iter_chunks())
