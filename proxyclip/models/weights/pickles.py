"""Files of torch.save, of any age, read without torch.load.

Their pickle is read by `pickle_machine`, their tensors from their bytes. Sizes that a file declares are compared with
the bytes it has before memory is taken for them, so that reading takes about the size of the file.
"""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from proxyclip.models.weights.pickle_globals import PICKLE_GLOBALS, PickleFunction, PickleRefused
from proxyclip.models.weights.pickle_machine import PickleMachine
from proxyclip.models.weights.zip_archive import ArchiveError, TensorArchive
from proxyclip.utils.formats import format_size

MAX_PICKLE_BYTES = 1 << 26
MAX_DIMENSIONS = 32
MAX_EXPANDED_ELEMENTS = 1 << 20  # of a tensor that has more elements than its bytes, as those of `expand`
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
STORAGE_TYPES = {
    "BFloat16Storage": torch.bfloat16, "BoolStorage": torch.bool, "ByteStorage": torch.uint8,
    "CharStorage": torch.int8, "ComplexDoubleStorage": torch.complex128, "ComplexFloatStorage": torch.complex64,
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "IntStorage": torch.int32, "LongStorage": torch.int64, "ShortStorage": torch.int16
}  # fmt: skip


@dataclass(frozen=True)
class StorageType:
    """Element type of a storage; None for bytes."""

    dtype: torch.dtype | None


@dataclass(frozen=True)
class LoadedStorage:
    """Bytes of tensors, with their element type."""

    data: Any  # torch.UntypedStorage
    dtype: torch.dtype | None


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any, dtype: Any = None) -> Tensor:
    """Make a tensor of a storage that holds all of its elements."""
    if type(storage) is not LoadedStorage:
        raise PickleRefused
    dtype = dtype or storage.dtype
    numbers = [offset, *size, *stride]
    if not isinstance(dtype, torch.dtype) or any(type(n) is not int or not 0 <= n < 1 << 62 for n in numbers):
        raise PickleRefused
    if len(size) != len(stride) or len(size) > MAX_DIMENSIONS:
        raise PickleRefused
    elements = math.prod(size)
    capacity = storage.data.nbytes() // dtype.itemsize
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if elements else offset - 1
    if last >= capacity or elements > max(capacity, MAX_EXPANDED_ELEMENTS):
        raise PickleRefused(reason=f"a tensor in it declares {elements} elements, and its bytes hold {capacity}")
    return torch.empty(0, dtype=dtype).set_(storage.data, offset, tuple(size), tuple(stride))


def _rebuild_typed(storage: Any, offset: Any, size: Any, stride: Any, _: Any, __: Any, dtype: Any, *___: Any) -> Tensor:
    return _rebuild_tensor(storage, offset, size, stride, dtype=dtype)


def _keep_tensor(value: Any, *_: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise PickleRefused
    return value


def _rebuild_subclass(function: Any, kind: Any, arguments: Any, _: Any) -> Tensor:
    """Rebuild a tensor with Python attributes, without these."""
    if type(function) is not PickleFunction or kind not in (Tensor, torch.nn.Parameter) or type(arguments) is not tuple:
        raise PickleRefused("torch._tensor._rebuild_from_type_v2")
    return _keep_tensor(function.apply(*arguments))


PICKLE_GLOBALS.update(
    {
        "torch._utils._rebuild_tensor": PickleFunction(_rebuild_tensor),
        "torch._utils._rebuild_tensor_v2": PickleFunction(_rebuild_tensor),
        "torch._utils._rebuild_tensor_v3": PickleFunction(_rebuild_typed),
        "torch._utils._rebuild_parameter": PickleFunction(_keep_tensor),
        "torch._utils._rebuild_parameter_with_state": PickleFunction(_keep_tensor),
        "torch._tensor._rebuild_from_type_v2": PickleFunction(_rebuild_subclass),
        "torch.Tensor": Tensor,
        "torch.nn.parameter.Parameter": torch.nn.Parameter,
        "torch.storage.UntypedStorage": StorageType(None),
        **{f"torch.{part}{n}": StorageType(d) for n, d in STORAGE_TYPES.items() for part in ("", "cuda.")},
    }
)


def parse_storage_identity(identity: Sequence[Any]) -> tuple[StorageType, str, int]:
    """Parse a persistent id of PyTorch: (type of elements, key, size in bytes).

    Raises:
        PickleRefused: another one.
    """
    if len(identity) not in (5, 6) or identity[0] != "storage" or (len(identity) == 6 and identity[5] is not None):
        raise PickleRefused
    kind, key, count = identity[1], identity[2], identity[4]
    if type(kind) is not StorageType or type(key) is not str or type(count) is not int or not 0 <= count < 1 << 60:
        raise PickleRefused
    return kind, key, count * (kind.dtype.itemsize if kind.dtype else 1)


def create_storage(size: int) -> tuple[Any, memoryview]:
    """Allocate an untyped storage of bytes, and a view to write them."""
    buffer = torch.empty(size, dtype=torch.uint8)
    array: Any = buffer.numpy()
    return buffer.untyped_storage(), memoryview(array)


def make_storage_loader(archive: TensorArchive) -> Callable[[tuple[Any, ...]], LoadedStorage]:
    """Make the function that reads the storages of an archive, each once."""
    storages: dict[str, Any] = {}

    def load_storage(identity: tuple[Any, ...]) -> LoadedStorage:
        kind, key, size = parse_storage_identity(identity)
        entry = archive.find_entry(f"data/{key}")
        if entry.size != size:
            raise ArchiveError(f"a tensor in it declares {format_size(size)}, and its bytes are {entry.size}")
        if key not in storages:
            data, view = create_storage(size)
            archive.read_into(entry, view)
            storages[key] = data
        return LoadedStorage(storages[key], kind.dtype)

    return load_storage


def check_byte_order(archive: TensorArchive) -> None:
    """Refuse an archive of a machine that writes the highest byte first.

    Raises:
        ArchiveError: it is one.
    """
    if "byteorder" in archive.entries:
        order = archive.read_bytes(archive.entries["byteorder"], 16)
        if order != b"little":
            raise ArchiveError(f"its numbers are in the byte order {order[:8].decode('latin-1')!r}, not 'little'")


def read_pickle(path: Path) -> Any:
    """Read a file of torch.save on the CPU, of any form but TorchScript; tensors need no gradients.

    Raises:
        PickleRefused: damaged, or a pickle that asks for more than tensors. ArchiveError: a damaged archive, or one
            that PyTorch would not have written. OSError: it cannot be opened.
    """
    with path.open("rb") as file:
        if file.read(4) != b"PK\3\4":
            file.seek(0)
            return _read_legacy(file, path.stat().st_size)
    with TensorArchive(path) as archive:
        check_byte_order(archive)
        data = archive.read_bytes(archive.find_entry("data.pkl"), MAX_PICKLE_BYTES)
        return PickleMachine(make_storage_loader(archive)).run_pickle(io.BytesIO(data))


def _read_legacy(file: BinaryIO, file_size: int) -> Any:
    """Read a file of PyTorch before 1.6: five pickles, then the bytes of each storage."""
    stream = io.BytesIO(file.read(MAX_PICKLE_BYTES))
    storages: dict[str, tuple[LoadedStorage, memoryview]] = {}
    total = 0

    def load_storage(identity: tuple[Any, ...]) -> LoadedStorage:
        nonlocal total
        kind, key, size = parse_storage_identity(identity)
        if key not in storages:
            total += size
            if total > file_size:
                raise PickleRefused(reason=f"its tensors declare more than the {format_size(file_size)} that it has")
            data, view = create_storage(size)
            storages[key] = LoadedStorage(data, kind.dtype), view
        if len(storages[key][1]) != size or storages[key][0].dtype != kind.dtype:
            raise PickleRefused
        return storages[key][0]

    magic = PickleMachine().run_pickle(stream)
    if magic != LEGACY_MAGIC or PickleMachine().run_pickle(stream) != LEGACY_PROTOCOL:
        raise PickleRefused
    system = PickleMachine().run_pickle(stream)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise PickleRefused
    content = PickleMachine(load_storage).run_pickle(stream)
    keys = PickleMachine().run_pickle(stream)
    if type(keys) is not list or sorted(map(str, keys)) != sorted(storages):
        raise PickleRefused
    file.seek(stream.tell())
    for key in keys:
        storage, view = storages[key]
        count = int.from_bytes(file.read(8), "little") * (storage.dtype.itemsize if storage.dtype else 1)
        if count != len(view) or file.readinto(view) != count:  # type: ignore[attr-defined]  # of BufferedReader
            raise PickleRefused(reason="it is cut short or damaged")
    return content
