"""Non-finite loss and weight checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor


class NonFiniteLoss(ValueError):
    """A loss is NaN or infinite; `terms` has each such loss with its value.

    The step that computed it has changed no weight: the error comes before the gradients.
    """

    def __init__(self, terms: Mapping[str, float]) -> None:
        self.terms = dict(terms)
        super().__init__(f"The loss is not a number: {', '.join(f'{k} = {v}' for k, v in self.terms.items())}")


def check_finite_losses(losses: Mapping[str, Tensor | Sequence[Tensor]]) -> None:
    """Refuse losses that are NaN or infinite.

    Args:
        losses: what a model's `loss` returns: tensors of any shape, or lists of them. Names without "loss" in them
            are figures to log (accuracies) and may be anything, as in MMEngine's `parse_losses`.

    Raises:
        NonFiniteLoss: at least one is not finite; names each of them.
    """
    bad: dict[str, float] = {}
    for name, value in losses.items():
        if "loss" not in name:
            continue
        values = [value] if isinstance(value, Tensor) else list(value)
        mean = sum(float(v.detach().float().mean()) for v in values)
        if mean != mean or mean in (float("inf"), float("-inf")):
            bad[name] = mean
    if bad:
        raise NonFiniteLoss(bad)


class NonFiniteWeights(ValueError):
    """Weights of the model are NaN or infinite."""


def check_finite_weights(state: Mapping[str, Tensor]) -> None:
    """Refuse weights that are NaN or infinite.

    A gradient may be so while the loss was finite.

    Raises:
        NonFiniteWeights: at least one tensor is not finite; names some.
    """
    bad = [name for name, value in state.items() if value.is_floating_point() and not bool(value.isfinite().all())]
    if bad:
        raise NonFiniteWeights(f"{len(bad)} of the model's tensors are not finite, such as {', '.join(bad[:3])}")
