"""Polynomial decay with linear warm-up, in closed form.

The numbers are those of mmcv 1.x, which the published runs had: the warm-up multiplies the decay, and the decay reaches
its end after the last iteration, not in it.
"""

from typing import Any

from mmengine.optim import _ParamScheduler
from mmengine.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmupPolyLR(_ParamScheduler):
    """Learning rate of iteration i = 0 .. T-1, for each parameter group with its own base rate.

        ((base - eta_min) * (1 - i / T) ** power + eta_min) * (1 - (1 - i / warmup) * (1 - warmup_ratio) if i < warmup)

    It does not depend on the previous rate, so that a resumed training uses the base rates, the length and the options
    of its own config, not those of the checkpoint.

    Args:
        optimizer: whose `param_groups` have the base rates as `lr`.
        power: of the decay.
        eta_min: where the decay ends; the same for all groups.
        warmup: iterations of the warm-up; 0 is none.
        warmup_ratio: factor of iteration 0 of the warm-up.
        end: T; MMEngine's Runner gives the number of iterations.
        by_epoch: has to be False; train.py sets it where a config does not.

    Raises:
        ValueError: by_epoch is not False, or the warm-up is negative.
    """

    def __init__(
        self,
        optimizer: Any,
        *,
        end: int,
        power: float = 1.0,
        eta_min: float = 0.0,
        warmup: int = 0,
        warmup_ratio: float = 1e-6,
        by_epoch: bool = True,
    ) -> None:
        if by_epoch:
            raise ValueError("WarmupPolyLR counts iterations, not epochs: expected by_epoch=False")
        if warmup < 0:
            raise ValueError(f"Expected `warmup` to be iterations, 0 or more, but got {warmup}")
        self.power = power
        self.eta_min = eta_min
        self.warmup = warmup
        self.warmup_ratio = warmup_ratio
        super().__init__(optimizer, "lr", 0, end, by_epoch=False)

    def at(self, iteration: int, base: float) -> float:
        """Compute the learning rate of an iteration, counted from 0, for a base rate."""
        rate = (base - self.eta_min) * (1 - iteration / self.end) ** self.power + self.eta_min
        if iteration < self.warmup:
            rate *= 1 - (1 - iteration / self.warmup) * (1 - self.warmup_ratio)
        return rate

    def state_dict(self) -> dict[str, int]:
        """Return the number of the next iteration, which is all the state."""
        return {"iteration": self._global_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue at the iteration of `state_dict`, with the rates of this config."""
        self._global_step = state_dict["iteration"]
        self.last_step = min(self._global_step, self.end - 1)
        for group, base, rate in zip(self.optimizer.param_groups, self.base_values, self._get_value(), strict=True):
            group["initial_lr"] = base
            group["lr"] = rate
        self._last_value = self._get_value()

    def _get_value(self) -> list[float]:
        return [self.at(self.last_step, base) for base in self.base_values]
