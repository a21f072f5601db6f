"""Checks of the configs that lie beside weights, before a model is built of them."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from proxyclip.models.weights import WeightsError

MAX_NUMBER = 10**6
MAX_LAYERS = 1000
LAYER_KEYS = ("layers", "depth", "num_hidden_layers", "depths")
MAX_VALUES = 100_000
SPARE_PARAMETERS = 10**7  # of a model beyond twice those of its file: tables that are resized, heads that are dropped


def check_config_numbers(config: Any, path: object) -> None:
    """Check that no number of a config is beyond those of any model.

    Args:
        path: of the config, for messages.

    Raises:
        WeightsError: a whole number or a ratio above 1e6, more than 1,000 layers, or more values than a config has.
    """
    pending: list[tuple[str, Any]] = [("", config)]
    count = 0
    while pending:
        key, value = pending.pop()
        count += 1
        limit = MAX_LAYERS if key in LAYER_KEYS else MAX_NUMBER
        is_size = type(value) is int or (type(value) is float and "ratio" in key)
        if is_size and not -limit <= value <= limit:
            raise WeightsError(
                f"Expected {key!r} of at most {limit} in {path}, but got {str(value)[:30]}; get it again."
            )
        if count > MAX_VALUES:
            raise WeightsError(f"Expected at most {MAX_VALUES} values in {path}, but it has more; get it again.")
        if isinstance(value, Mapping):
            pending.extend((str(name), item) for name, item in value.items())
        elif isinstance(value, list):
            pending.extend((key, item) for item in value)


def check_model_size(build: Callable[[], nn.Module], tensors: Mapping[str, Tensor], source: object) -> None:
    """Check, without memory for it, that a model is not much larger than the tensors it is built for.

    Args:
        build: makes the model. source: what the tensors are of, for messages.

    Raises:
        WeightsError: it has far more parameters.
    """
    with torch.device("meta"):
        model = build()
    expected = sum(value.numel() for value in model.state_dict().values())
    actual = sum(value.numel() for value in tensors.values())
    if expected > 2 * actual + SPARE_PARAMETERS:
        raise WeightsError(
            f"{source} does not fit its config: expected about {expected} parameters, but got {actual}. Is it the "
            "config of another model?"
        )
