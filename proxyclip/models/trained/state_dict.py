"""Read the weights of a training checkpoint and load them into a model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from proxyclip.models.weights import WeightsError, short_reason


def load_checkpoint_file(path: Path | str) -> dict[str, Any]:
    """Load a whole checkpoint of train.py on the CPU: `state_dict`, `meta` and more; nothing in it is executed.

    Raises:
        WeightsError: there is no such file, it is damaged or cut short, or no checkpoint of train.py.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"There is no checkpoint {path}.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(f"The checkpoint {path} cannot be read ({short_reason(error)}).") from error
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
