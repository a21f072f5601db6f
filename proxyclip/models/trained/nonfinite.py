"""Non-finite loss and weight checks."""

import math
from collections.abc import Mapping, Sequence

from torch import Tensor


class NonFiniteError(ValueError):
    """Losses or weights of a model are NaN or infinite."""


def check_finite_losses(losses: Mapping[str, Tensor | Sequence[Tensor]]) -> None:
    """Refuse losses that are NaN or infinite, before they change a weight.

    Args:
        losses: what a model's `loss` returns: tensors of any shape, or lists of them. Names without "loss" in them
            are figures to log (accuracies) and may be anything, as in MMEngine's `parse_losses`.

    Raises:
        NonFiniteError: at least one is not finite; names each of them.
    """
    bad = []
    for name, value in losses.items():
        if "loss" not in name:
            continue
        values = [value] if isinstance(value, Tensor) else list(value)
        mean = sum(float(v.detach().float().mean()) for v in values)
        if not math.isfinite(mean):
            bad.append(f"{name} = {mean}")
    if bad:
        raise NonFiniteError(f"The loss is not a number: {', '.join(bad)}")


def check_finite_weights(state: Mapping[str, Tensor]) -> None:
    """Refuse weights that are NaN or infinite, as a gradient may be while the loss is finite.

    Raises:
        NonFiniteError: at least one tensor is not finite; names some.
    """
    bad = [name for name, value in state.items() if value.is_floating_point() and not bool(value.isfinite().all())]
    if bad:
        raise NonFiniteError(f"{len(bad)} of the model's tensors are not finite, such as {', '.join(bad[:3])}")
