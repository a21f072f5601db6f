"""The stages of MaskCLIP+: first the teacher guides, then the student trains itself (arXiv 2112.01071, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from ...runtime import unwrap

GUIDED, SELF_TRAINING = "guided", "self_training"
Window = Sequence[int] | None


@HOOKS.register_module()
class StageHook(Hook):
    """Tells the model which stage an iteration belongs to, by its attribute `stage`.

    Args:
        guided, self_training: first and last iteration of the stage, counted from 1, both included; a last one of -1 is
            the end of the training; None is never. Between stages unlabelled pixels are ignored.

    The model's `parity` decides how iterations are counted: "paper" by the runner; "upstream" as the published code:
    evaluation forwards count too, and a resumed training begins with 1.

    Raises:
        ValueError: windows that are empty or overlap.
    """

    priority = "HIGH"

    def __init__(self, guided: Window = (1, -1), self_training: Window = None) -> None:
        self.windows = {GUIDED: _window(GUIDED, guided), SELF_TRAINING: _window(SELF_TRAINING, self_training)}
        first, second = sorted(w for w in self.windows.values() if w) if all(self.windows.values()) else (None, None)
        if first and second and first[1] >= second[0]:
            raise ValueError(
                f"Expected stages that do not overlap, but got guided {guided}, self_training {self_training}"
            )
        self.count = 0  # forwards of this process, for "upstream"

    def at(self, iteration: int) -> str | None:
        """The stage of an iteration, counted from 1."""
        return next((name for name, w in self.windows.items() if w and w[0] <= iteration <= w[1]), None)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Set the model's stage."""
        model: Any = unwrap(runner.model)
        self.count += 1
        model.stage = self.at(self.count if model.parity == "upstream" else runner.iter + 1)

    def before_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Count an evaluation forward."""
        self.count += 1


def _window(name: str, given: Window) -> tuple[int, float] | None:
    if given is None or given[0] < 0:
        return None
    first, last = given
    end = float("inf") if last < 0 else last
    if first < 1 or end < first:
        raise ValueError(f"Expected {name}=(first, last) with 1 <= first <= last, or last -1, but got {tuple(given)}")
    return first, end
