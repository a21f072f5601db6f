"""Forms of files that are given as weights and are none of PyTorch's, by their first bytes."""

import itertools
import re
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from proxyclip.models.weights.json_files import read_json_object
from proxyclip.models.weights.zip_archive import ArchiveError, list_zip_entries
from proxyclip.utils.formats import format_size

HEAD_BYTES = 1024
MAX_SAFETENSORS_HEADER = 1 << 25
MAX_TAR_MEMBERS = 10_000
SHARD_PATTERN = re.compile(r"^(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.\w+)$")
PYTORCH_REMEDY = "its PyTorch file is needed (.safetensors, .pth, .pt or .bin)"
# First bytes -> (form, remedy).
SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", "a file of Keras or TensorFlow (HDF5)", PYTORCH_REMEDY),
    (b"GGUF", "a file of llama.cpp (GGUF)", PYTORCH_REMEDY),
    (b"lmgg", "a file of llama.cpp (GGML)", PYTORCH_REMEDY),
    (b"tjgg", "a file of llama.cpp (GGJT)", PYTORCH_REMEDY),
    (b"\x93NUMPY", "a NumPy array (.npy)", PYTORCH_REMEDY),
    (b"\x1f\x8b", "compressed (gzip)", "unpack it first, with gunzip or tar -xf"),
    (b"BZh", "compressed (bzip2)", "unpack it first, with bunzip2 or tar -xf"),
    (b"\xfd7zXZ\0", "compressed (xz)", "unpack it first, with unxz or tar -xf"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd)", "unpack it first, with unzstd"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it first"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"%PDF", "a PDF document", PYTORCH_REMEDY),
    (b"\x89PNG", "a picture (PNG)", PYTORCH_REMEDY),
    (b"\xff\xd8\xff", "a picture (JPEG)", PYTORCH_REMEDY),
)
# What a server writes into a file in place of the weights, in lower case.
SERVER_ANSWERS = (
    rb"(entry not found|not found|40[134]\b|invalid (username|credentials)|access to |unauthorized|forbidden)"
)
TENSORFLOW_TABLE_END = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
# End of a name -> form, where no signature says it.
SUFFIX_FORMS = (
    (".onnx", "a graph of ONNX"),
    (".msgpack", "a file of Flax (msgpack)"),
    (".pb", "a graph of TensorFlow"),
    (".tflite", "a model of TensorFlow Lite"),
    (".engine", "an engine of TensorRT"),
    (".mlmodel", "a model of Core ML"),
    (".ckpt.index", "the index of a TensorFlow checkpoint"),
    (".ckpt.meta", "the graph of a TensorFlow checkpoint"),
)


class IncompleteWeightsError(Exception):
    """A file of several that belong together, without the others; the message has the remedy."""


def describe_foreign_file(path: Path) -> tuple[str, str] | None:
    """Describe a file that cannot be weights of PyTorch, `it is ...`, and the remedy; None for one that may be.

    Neither torch nor the content beyond its head and its list of members is read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    form = _describe_text(head, path) or _describe_archive(path, head) or _describe_binary(path, head)
    return (f"it is {form[0]}", form[1]) if form else None


def is_safetensors(path: Path) -> bool:
    """Return True if a file begins as safetensors files do, whatever its name."""
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and 1 < int.from_bytes(head[:8], "little") < 1 << 30


def check_safetensors_header(path: Path) -> None:
    """Check the size that a safetensors file declares for its list of tensors.

    Raises:
        ValueError: larger than the file, or than any list of tensors.
    """
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > min(MAX_SAFETENSORS_HEADER, path.stat().st_size - 8):
        raise ValueError(
            f"its list of tensors declares {format_size(size)}: the file is cut short, or larger lists than "
            f"{format_size(MAX_SAFETENSORS_HEADER)} are not read"
        )


def list_shards(path: Path) -> list[Path] | None:
    """List the files that an index, or one of its shards, stands for; None for a file that is whole.

    Args:
        path: `model.safetensors.index.json`, or `model-00001-of-00003.safetensors` beside it.

    Raises:
        IncompleteWeightsError: a shard without its index or its other shards, or an index that lists no files.
    """
    shard = SHARD_PATTERN.match(path.name)
    if shard and int(shard["count"]) == 1:
        return None
    index = path.with_name(f"{shard['stem']}{shard['suffix']}.index.json") if shard else path
    if shard and not index.is_file():
        raise IncompleteWeightsError(
            f"it is part {int(shard['number'])} of {int(shard['count'])}: get all parts and {index.name} beside it"
        )
    if not index.name.endswith(".index.json"):
        return None
    with suppress(ValueError, TypeError, AttributeError, LookupError):
        names = list_shard_names(read_json_object(index, "an index of weights"))
        missing = [name for name in names if not (index.parent / name).is_file()]
        if missing:
            raise IncompleteWeightsError(
                f"{index.name} lists {missing[0]}, which is not beside it: get all of its files"
            )
        return [index.parent / name for name in names]
    raise IncompleteWeightsError(f"{index.name} is no index of weights: expected a `weight_map` of file names in it")


def list_shard_names(index: dict[str, Any]) -> list[str]:
    """List the files of an index of weights, which are names without folders.

    Raises:
        IncompleteWeightsError: a name that leads elsewhere. LookupError, TypeError, AttributeError: no index.
    """
    names = sorted(set(index["weight_map"].values()))
    foreign = next((name for name in names if re.fullmatch(r"\w[\w.+-]*", name) is None), None)
    if foreign is not None:
        raise IncompleteWeightsError(f"its index names {foreign[:80]!r}: expected names of files beside it")
    return names


def _describe_text(head: bytes, path: Path) -> tuple[str, str] | None:
    if not head:
        return "empty", "get it again"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"version https://git-lfs"):
        size = re.search(rb"size (\d+)", start)
        whole = f" to a file of {int(size[1]):,} bytes".replace(",", " ") if size else ""
        return (
            f"a git-lfs pointer{whole}, not the weights",
            "run `git lfs pull` in its repository, or `hf download REPO`",
        )
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<!--")):
        remedy = "get it again with `hf download`, or from an address with /resolve/ in place of /blob/"
        return "a web page, not the weights", remedy
    if re.match(SERVER_ANSWERS, start):
        line = start.splitlines()[0][:60].decode("utf-8", "replace")
        return f"an answer of a server ({line!r}), not the weights", "get it again, logged in where it asks for that"
    if start.startswith(b"{") and not path.name.endswith(".index.json"):
        with suppress(ValueError):
            head.decode("utf-8")
            return "a JSON file", "the weights lie in another file beside it (.safetensors, .pth, .pt or .bin)"
    return None


def _describe_archive(path: Path, head: bytes) -> tuple[str, str] | None:
    if head.startswith(b"PK"):
        try:
            names = [entry.name for entry in list_zip_entries(path)[0]]
        except ArchiveError as error:
            if not zipfile.is_zipfile(path):
                return "cut short", "get it again"
            return (
                f"a zip archive that PyTorch would not have written: {str(error).removeprefix('it ')}",
                "get it again",
            )
        if any(name.endswith((".pkl", "constants.pkl")) for name in names):
            return None
        if names and all(name.endswith(".npy") for name in names):
            return "an archive of NumPy arrays (.npz)", PYTORCH_REMEDY
        if any(name.endswith(("keras_metadata.pb", "model.weights.h5")) for name in names):
            return "a model of Keras", PYTORCH_REMEDY
        return f"a zip archive of {_name_members(names)}", "unpack it and give the weights file in it"
    if head[257:262] == b"ustar" and tarfile.is_tarfile(path):
        with tarfile.open(path, "r:") as archive:
            names = [member.name for member in itertools.islice(archive, MAX_TAR_MEMBERS) if member.isfile()]
        if {"storages", "tensors", "pickle"} <= {Path(name).name for name in names}:
            return "a file of PyTorch before 0.1.12", "load it there and save its state_dict again"
        return f"a tar archive of {_name_members(names)}", "unpack it and give the weights file in it"
    return None


def _name_members(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "nothing"


def _describe_binary(path: Path, head: bytes) -> tuple[str, str] | None:
    for signature, form, remedy in SIGNATURES:
        if head.startswith(signature):
            return form, remedy
    if head[4:8] == b"TFL3":
        return "a model of TensorFlow Lite", PYTORCH_REMEDY
    if re.match(rb"\x08[\x01-\x14]\x12[\x01-\x40](pytorch|keras|tf2onnx|onnx|torch|skl2onnx)", head):
        return "a graph of ONNX", PYTORCH_REMEDY
    if re.match(rb"[\x81-\x8f\xde].{0,2}[\xa0-\xbf][a-z_]{3,}[\x81-\x8f\xde]", head, re.DOTALL):
        return "a file of Flax (msgpack)", PYTORCH_REMEDY
    if is_safetensors(path) or head.startswith(b"\x80"):  # PyTorch's own, whatever the name
        return None
    with path.open("rb") as file:
        file.seek(-min(8, path.stat().st_size), 2)
        if file.read() == TENSORFLOW_TABLE_END:
            return "a TensorFlow checkpoint", PYTORCH_REMEDY
    name = path.name.lower()
    if re.search(r"\.data-\d{5}-of-\d{5}$", name):
        return "a part of a TensorFlow checkpoint", PYTORCH_REMEDY
    suffix_form = next((form for suffix, form in SUFFIX_FORMS if name.endswith(suffix)), None)
    return (suffix_form, PYTORCH_REMEDY) if suffix_form else None
