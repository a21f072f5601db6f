"""Safe reading of weights files, and fingerprints of modules.

Every weights file is read here, also those that open_clip, timm and the hub's client find: see docs/weights.md.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from proxyclip.data.vocabulary import log_note
from proxyclip.models.weights import WeightsError, short_reason
from proxyclip.models.weights.file_forms import (
    IncompleteWeightsError,
    check_safetensors_header,
    describe_foreign_file,
    is_safetensors,
    list_shards,
)
from proxyclip.models.weights.nesting import select_subtree, strip_shared_prefixes, unwrap_checkpoint
from proxyclip.models.weights.pickles import read_pickle
from proxyclip.models.weights.torchscript import is_torchscript, read_torchscript
from proxyclip.models.weights.transformers_form import convert_transformers_names
from proxyclip.utils.hashing import hash_chunks

# Heads that files may have beside the tensors of a network: classifiers, and the projections of DINO's training.
HEAD_PREFIXES = ("head.", "heads.", "fc_norm.", "dino_head.", "ibot_head.", "classifier.", "decoder", "head_dist.")


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint file by name, on the CPU.

    Formats are .safetensors, PyTorch's .pt, .pth and .bin, TorchScript, and the index of a file in parts. The content
    decides, not the name. Wrappers of trainings (`state_dict`, `model`, `teacher`, ...) and prefixes that all names
    have (`module.`, `backbone.`, ...) are removed. Nothing in the file is executed, and neither torch.load nor
    torch.jit.load is called: docs/weights.md.

    Raises:
        WeightsError: the file is missing, damaged, of another form, or holds something other than tensors.
    """
    return strip_shared_prefixes(read_tensors(path))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint file, with all prefixes."""
    if not path.is_file():
        problem = "is a folder, not a weights file" if path.is_dir() else "does not exist"
        raise WeightsError(f"The weights file {path} {problem}.")
    try:
        shards = list_shards(path)
        content: Any = _read(path) if shards is None else {k: v for shard in shards for k, v in _read(shard).items()}
    except Exception as error:
        raise WeightsError(_explain_unreadable_file(path, error)) from error
    tensors, note = unwrap_checkpoint(content)
    if not tensors:
        raise WeightsError(f"Expected named tensors in {path}, but it holds {_describe_content(content)}.")
    if note:
        log_note(f"{path}: {note}")
    return tensors


def _describe_content(content: Any) -> str:
    if isinstance(content, dict):
        return f"a dict of {', '.join(repr(key)[:40] for key in list(content)[:5])}" if content else "none"
    return type(content).__name__


def _explain_unreadable_file(path: Path, error: Exception) -> str:
    if isinstance(error, IncompleteWeightsError):
        return f"The weights file {path} cannot be read: {error}."
    reason = short_reason(error)
    subject = f"The weights file {path} cannot be read ({reason})"
    if isinstance(error, _ForeignForm):
        return f"{subject}: {error.remedy}."
    if " asks for " in reason:
        return f"{subject}; save its tensors alone where you trust it: torch.save(model.state_dict(), FILE)."
    return f"{subject}; get it again."


class _ForeignForm(ValueError):
    """A file of another form, with a remedy."""

    def __init__(self, form: str, remedy: str) -> None:
        super().__init__(form)
        self.remedy = remedy


def refuse_foreign_form(path: Path) -> None:
    """Refuse a file that cannot hold weights of PyTorch.

    Raises:
        ValueError: with what it is; its attribute `remedy` says what to do.
    """
    description = describe_foreign_file(path)
    if description is not None:
        raise _ForeignForm(*description)


def explain_foreign_files(folder: Path, names: Iterable[str]) -> str:
    """Explain which weights files of a folder are of another form, and the remedy; "" if none is."""
    lines = []
    for path in (folder / name for name in names):
        if path.is_file():
            try:
                refuse_foreign_form(path)
            except _ForeignForm as error:
                lines.append(f"  {path.name}: {error}: {error.remedy}")
    return "\n".join(lines)


def _read(path: Path) -> Any:
    refuse_foreign_form(path)
    if is_safetensors(path):
        from safetensors.torch import load_file

        check_safetensors_header(path)
        return load_file(str(path))
    return read_torchscript(path) if is_torchscript(path) else read_pickle(path)


def check_weights_readable(path: Path) -> None:
    """Check that a weights file holds tensors only, and all of them.

    Of a .safetensors file only the header is read.

    Raises:
        WeightsError: damaged, cut short, of another form, or a pickle that wants more than tensors; the message names
            the culprit.
    """
    if not path.is_file() or not is_safetensors(path):
        read_state_dict(path)
        return
    from safetensors import safe_open

    try:
        check_safetensors_header(path)
        with safe_open(str(path), "pt") as file:
            empty = not file.keys()
    except Exception as error:
        raise WeightsError(_explain_unreadable_file(path, error)) from error
    if empty:
        raise WeightsError(f"Expected named tensors in {path}, but it holds none.")


def read_network(path: Path, anchors: Sequence[str] = ()) -> dict[str, Tensor]:
    """Read the tensors of one network of a file, under the names of its original release.

    Args:
        anchors: names that tell the network (see `select_subtree`); without any, all tensors.

    Raises:
        WeightsError: see `read_state_dict`.
    """
    return select_network(read_tensors(path), anchors, path)


def select_network(tensors: dict[str, Tensor], anchors: Sequence[str], path: Path) -> dict[str, Tensor]:
    """Select the tensors of one network of the file `path`, under the names of its original release."""
    state = convert_transformers_names(tensors)
    selected, note = select_subtree(state, anchors)
    if note:
        log_note(f"{path}: {note}")
    return selected if any(anchor in selected for anchor in anchors) else strip_shared_prefixes(selected)


def load_weights_into(
    model: nn.Module,
    path: Path,
    drop: tuple[str, ...] = (),
    convert: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict,
    anchors: Sequence[str] = (),
    tensors: dict[str, Tensor] | None = None,
) -> nn.Module:
    """Load a checkpoint file into `model`, every key matching.

    Args:
        drop: prefixes of keys that the file may have and the model does not (a classifier, a decoder).
        convert: from the names of the file to those of the model.
        anchors: names that tell the network in the file after a conversion (see `select_subtree`).
        tensors: of the file (`read_tensors`), where they have been read.

    Raises:
        WeightsError: keys or shapes differ; the message counts them and names the first.
    """
    network = select_network(read_tensors(path) if tensors is None else tensors, anchors, path)
    state = {name: value for name, value in network.items() if not name.startswith(drop)}
    load_tensors_into(model, convert(state), str(path))
    return model


def load_tensors_into(model: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Load tensors into `model`, every key matching.

    Args:
        source: what the tensors are of, for messages.

    Raises:
        WeightsError: keys or shapes differ; the message counts them and names the first.
    """
    own = model.state_dict()
    differences = {
        "missing tensors": sorted(set(own) - set(state)),
        "unexpected tensors": sorted(set(state) - set(own)),
        "tensors of another shape": sorted(k for k in set(own) & set(state) if own[k].shape != state[k].shape),
    }
    problems = [
        f"{len(keys)} {problem} (first: {_shorten_name(keys[0])})" for problem, keys in differences.items() if keys
    ]
    if problems:
        misfit = f"{source} does not fit {type(model).__name__}: {', '.join(problems)}"
        raise WeightsError(f"{misfit}. Is it the file of another architecture?")
    model.load_state_dict(state)


def _shorten_name(name: str) -> str:
    """Return a name of a file for a message: no control characters, not longer than a line."""
    return name if len(name) <= 100 and name.isprintable() else repr(name[:100])


def fingerprint_module(module: nn.Module, skip: str = "\0") -> str:
    """Hash names, types, shapes and bytes of tensors whose name does not begin `skip`."""

    def iter_chunks() -> Iterator[Any]:
        for name, tensor in sorted(module.state_dict().items()):
            if not name.startswith(skip):
                yield f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode()
                yield tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()

    return hash_chunks(iter_chunks())
