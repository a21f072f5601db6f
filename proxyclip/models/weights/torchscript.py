"""TorchScript archives, read as what they store: names and tensors. Their code is neither compiled nor run.

torch.jit.load compiles the code in an archive and runs every `__setstate__` in it. Here the objects are names and
attributes, and the code is a text in which the lists of parameters and buffers are looked up.
"""

import io
import re
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from proxyclip.models.weights.pickle_globals import PickleRefused, ScriptObject
from proxyclip.models.weights.pickle_machine import PickleMachine
from proxyclip.models.weights.pickles import MAX_PICKLE_BYTES, check_byte_order, make_storage_loader
from proxyclip.models.weights.zip_archive import ArchiveError, TensorArchive, list_zip_entries

MAX_ATTRIBUTES = 1_000_000  # of all modules, each counted as often as it appears
MAX_NAME_LETTERS = 4096
MAX_DEPTH = 100
CLASS_PATTERN = re.compile(
    r"^class (\w+)\(Module\):\n(  __parameters__ = \[.*\]\n  __buffers__ = \[.*\]\n)", re.MULTILINE
)
STATE_FUNCTION = b"__setstate__"


def is_torchscript(path: Path) -> bool:
    """Return True for a TorchScript archive, the form OpenAI published CLIP in."""
    if not path.is_file():
        return False
    try:
        entries, _ = list_zip_entries(path)
    except ArchiveError:
        return False
    return any(entry.name.endswith("constants.pkl") for entry in entries)


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Read the parameters and buffers of a TorchScript archive, named as `state_dict()` of the module does.

    Raises:
        PickleRefused: damaged, or with objects that code makes when they are read. ArchiveError: see `TensorArchive`.
    """
    with TensorArchive(path) as archive:
        check_byte_order(archive)
        names = _read_tensor_names(archive)
        data = archive.read_bytes(archive.find_entry("data.pkl"), MAX_PICKLE_BYTES)
        module = PickleMachine(make_storage_loader(archive), is_script=True).run_pickle(io.BytesIO(data))
    if type(module) is not ScriptObject:
        raise PickleRefused(reason="it holds no module")
    return dict(_iter_tensors(module, names))


def _read_tensor_names(archive: TensorArchive) -> dict[str, list[str]]:
    """Read the names of parameters and buffers of each class of modules, from the text of the archive's code.

    Classes without these lists, as archives before PyTorch 1.7 have, are left out: all of their tensors count.
    """
    names = {}
    total = 0
    for name, entry in archive.entries.items():
        if not name.casefold().startswith("code/") or not name.casefold().endswith(".py"):  # PyTorch finds any case
            continue
        total += entry.size
        if total > MAX_PICKLE_BYTES:
            raise ArchiveError(f"its code is larger than the {MAX_PICKLE_BYTES} bytes that are read")
        text = archive.read_bytes(entry, MAX_PICKLE_BYTES)
        if STATE_FUNCTION in text:
            raise PickleRefused(reason=f"{entry.label} in it has code that runs when it is read; nothing in it was run")
        module = name[len("code/") : -len(".py")].replace("/", ".")
        for match in CLASS_PATTERN.finditer(text.decode("utf-8", "replace")):
            names[f"{module}.{match[1]}"] = re.findall(r'"([^"]*)"', match[2])
    return names


def _iter_tensors(root: ScriptObject, names: dict[str, list[str]]) -> Iterator[tuple[str, Tensor]]:
    """Iterate over the tensors of a module and of those in it, depth first, own ones before."""
    pending: list[tuple[str, ScriptObject, frozenset[int]]] = [("", root, frozenset())]
    count = 0
    while pending:
        prefix, module, parents = pending.pop()
        attributes = module.attributes or {}
        count += 1 + len(attributes)
        is_endless = id(module) in parents or len(parents) > MAX_DEPTH or len(prefix) > MAX_NAME_LETTERS
        if is_endless or count > MAX_ATTRIBUTES:
            raise PickleRefused(reason="its modules contain each other, or are too many")
        own = names.get(module.class_name)
        for name in attributes if own is None else own:
            if isinstance(attributes.get(name), Tensor):
                yield prefix + name, attributes[name]
        children = [
            (f"{prefix}{name}.", value, parents | {id(module)})
            for name, value in attributes.items()
            if type(value) is ScriptObject and (value.class_name in names or "training" in (value.attributes or {}))
        ]
        pending.extend(reversed(children))
