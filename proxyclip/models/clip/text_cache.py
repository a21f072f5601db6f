"""Cache of text features on disk, as safetensors files with a hash and the key of what they are of."""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import safetensors.torch
from torch import Tensor

from proxyclip.utils.file_limits import MEGABYTE
from proxyclip.utils.hashing import hash_chunks, hash_value
from proxyclip.utils.user_cache import iter_cache_entries, write_cache_entry

logger = logging.getLogger(__name__)
CACHE_FORMAT = 2
MAX_FEATURE_BYTES = 500 * MEGABYTE  # of an entry: 160,000 names of 768 numbers
_HEADER_BYTES = 100_000  # at most, before the numbers


def load_or_compute_features(
    key: Sequence[object], compute: Callable[[], Tensor], folder: Path | None = None, rows: int | None = None
) -> Tensor:
    """Return cached features of a key, or compute and cache them.

    An entry that is damaged, of somebody else or not writable costs time, never the run.

    Args:
        key: everything that can change the result, JSON-serializable.
        folder: default `$PROXYCLIP_CACHE`, else `~/.cache/proxyclip`.
        rows: number of features, where it is known: an entry with another one is damaged.
    """
    key_hash = hash_value([CACHE_FORMAT, *key])
    name = f"{key_hash[:40]}.safetensors"
    for path, content in iter_cache_entries("text", name, MAX_FEATURE_BYTES, folder):
        if isinstance(content, OSError):
            logger.warning("Text features are computed again: %s", content)
            continue
        try:
            return unpack_features(content, key_hash, rows)
        except Exception as error:  # safetensors raises an error of its own
            logger.debug("%s", error)
            logger.warning("The text cache file %s is damaged; computing it again", path)
    features = compute()
    data = pack_features(features, key_hash)
    if len(data) <= MAX_FEATURE_BYTES:
        try:
            write_cache_entry("text", name, data, folder)
        except OSError as error:
            logger.warning("Text features are not cached: %s", error)
    return features


def pack_features(features: Tensor, key_hash: str) -> bytes:
    """Pack float32 features and the hash of their key into the bytes of a safetensors file."""
    values = features.detach().float().cpu().contiguous()
    metadata = {"key": key_hash, "digest": _hash_features(values, key_hash)}
    return safetensors.torch.save({"features": values}, metadata)


def unpack_features(data: bytes, key_hash: str, rows: int | None = None) -> Tensor:
    """Unpack what `pack_features` has packed; nothing in it is run.

    Raises:
        ValueError, SafetensorError: it is damaged, or of another key or number of features.
    """
    size = int.from_bytes(data[:8], "little")
    if size > _HEADER_BYTES:
        raise ValueError("its header is too long")
    metadata = json.loads(data[8 : 8 + size])["__metadata__"]
    (features,) = safetensors.torch.load(data).values()
    if metadata["key"] != key_hash:
        raise ValueError("it is of other texts")
    if metadata["digest"] != _hash_features(features, key_hash):
        raise ValueError("its hash does not fit")
    if rows is not None and (features.ndim != 2 or len(features) != rows):
        raise ValueError(f"expected {rows} features, but got {tuple(features.shape)}")
    return features


def _hash_features(features: Tensor, key_hash: str) -> str:
    form = f"{key_hash} {features.dtype} {tuple(features.shape)}"
    return hash_chunks([form.encode(), features.contiguous().numpy()])
