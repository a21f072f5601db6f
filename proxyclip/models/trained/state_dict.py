"""Read the weights of a training checkpoint, checked, and load them into a model.

Beside `iter_N.pth` lies `iter_N.pth.sha256` with its SHA-256, as `sha256sum -c` reads it, in two equal lines: a damaged
hash is so told from a damaged checkpoint. A checkpoint without a hash is judged by the checksums of its archive.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from proxyclip.models.weights import WeightsError, short_reason
from proxyclip.models.weights.pickles import read_pickle
from proxyclip.utils.file_limits import read_limited_text
from proxyclip.utils.hashing import read_file_hash
from proxyclip.utils.io import replace_file

_HASH_SUFFIX = ".sha256"
_MAX_HASH_BYTES = 10_000


class DamagedCheckpoint(WeightsError):
    """A checkpoint that is not as it was written."""


def checkpoint_hash_path(path: Path) -> Path:
    """Return the path of the hash of a checkpoint."""
    return path.with_name(f"{path.name}{_HASH_SUFFIX}")


def save_checkpoint_hash(path: Path, digest: str) -> None:
    """Save the hash of a checkpoint beside it, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    text = f"{digest}  {path.name}\n" * 2
    replace_file(checkpoint_hash_path(path), lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_checkpoint_hash(path: Path) -> str | None:
    """Read the hash that a checkpoint has beside it; None without one, or if it is damaged itself."""
    try:
        lines = read_limited_text(checkpoint_hash_path(path), _MAX_HASH_BYTES, "the hash of a checkpoint").splitlines()
    except (OSError, ValueError):
        return None
    match = re.fullmatch(r"([0-9a-f]{64}) [ *].*", lines[0]) if lines else None
    return match[1] if match and lines == [lines[0]] * 2 else None


def check_checkpoint_hash(path: Path) -> bool:
    """Check the content of a checkpoint, read now, against the hash beside it.

    Returns:
        True if they fit, False if there is no hash.

    Raises:
        DamagedCheckpoint: they do not. OSError: it cannot be read.
    """
    expected = read_checkpoint_hash(path)
    if expected is None:
        return False
    if read_file_hash(path) != expected:
        raise DamagedCheckpoint(
            f"The checkpoint {path} is damaged: its content does not fit its hash in {checkpoint_hash_path(path).name}."
        )
    return True


def verify_checkpoint(path: Path) -> bool:
    """Read a whole checkpoint, and check it by its hash or, without one, by what is in it.

    Returns:
        True if it has a hash.

    Raises:
        WeightsError: it is damaged, or no checkpoint of train.py.
    """
    try:
        if check_checkpoint_hash(path):
            return True
    except OSError as error:
        raise WeightsError(f"The checkpoint {path} cannot be read ({short_reason(error)}).") from error
    load_checkpoint_file(path)
    return False


def load_checkpoint_file(path: Path | str) -> dict[str, Any]:
    """Load a whole checkpoint of train.py on the CPU: `state_dict`, `meta` and more; nothing in it is executed.

    Raises:
        WeightsError: there is no such file, it is damaged or cut short, does not fit its hash where it has one, or is
            no checkpoint of train.py.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"There is no checkpoint {path}.")
    try:
        check_checkpoint_hash(path)
        checkpoint = read_pickle(path)
    except DamagedCheckpoint:
        raise
    except Exception as error:
        raise WeightsError(f"The checkpoint {path} cannot be read ({short_reason(error, 300)}).") from error
    is_complete = (
        isinstance(checkpoint, dict) and isinstance(checkpoint.get("state_dict"), dict) and "meta" in checkpoint
    )
    if not is_complete:
        raise WeightsError(f"Expected {path} to be a checkpoint made by train.py, but it lacks `state_dict` or `meta`.")
    return checkpoint


def load_matching_tensors(model: torch.nn.Module, state: Mapping[str, Tensor], path: Path, whole: bool) -> list[str]:
    """Load tensors that match into a model; return the names of its own that are left out.

    Args:
        path: file of `state`, for messages.
        whole: refuse a file that is not of this very model.

    Raises:
        ValueError: it is not, or nothing in it fits.
    """
    own_state = model.state_dict()
    matching = {
        name: value for name, value in state.items() if name in own_state and own_state[name].shape == value.shape
    }
    missing = [name for name in own_state if name not in matching]
    mismatched = missing + [name for name in state if name not in own_state]
    if not matching or (whole and mismatched):
        raise ValueError(
            f"{path} does not fit this config: {len(mismatched)} tensors are missing, unknown or of another shape, "
            f"such as {', '.join(mismatched[:3])}. Use the config and the options it was made with."
        )
    model.load_state_dict(matching, strict=False)
    return missing
