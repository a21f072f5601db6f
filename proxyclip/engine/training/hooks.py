"""Training hooks: stages of MaskCLIP+ and unseen classes of a zero-shot split."""

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from proxyclip.engine.wrappers import unwrap_model
from proxyclip.models.trained.maskclip_plus.model import GUIDED, SELF_TRAINING

StageRange = Sequence[int] | None


@HOOKS.register_module()
class StageHook(Hook):
    """Set the model's attribute `stage` to the stage of the iteration.

    MaskCLIP+ (arXiv 2112.01071, section 3.3): first the teacher guides, then the student trains itself.

    Args:
        guided, self_training: first and last iteration of the stage, counted from 1, both included; a last one of -1 is
            the end of the training; None disables the stage. Between stages unlabeled pixels are ignored.

    The model's `parity` decides how iterations are counted: "paper" by the runner; "upstream" as the published code:
    evaluation forwards count too, and a resumed training begins with 1.

    Raises:
        ValueError: ranges that are empty or overlap.
    """

    priority = "HIGH"

    def __init__(self, guided: StageRange = (1, -1), self_training: StageRange = None) -> None:
        self.ranges = {
            GUIDED: _parse_stage_range(GUIDED, guided),
            SELF_TRAINING: _parse_stage_range(SELF_TRAINING, self_training),
        }
        enabled = sorted(limits for limits in self.ranges.values() if limits)
        if len(enabled) == 2 and enabled[0][1] >= enabled[1][0]:
            raise ValueError(
                f"Expected stages that do not overlap, but got guided {guided}, self_training {self_training}"
            )
        self.count = 0  # forwards of this process, for "upstream"

    def at(self, iteration: int) -> str | None:
        """Return the stage of an iteration, counted from 1, or None."""
        stages = (name for name, limits in self.ranges.items() if limits and limits[0] <= iteration <= limits[1])
        return next(stages, None)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Set the model's stage."""
        model: Any = unwrap_model(runner.model)
        self.count += 1
        model.stage = self.at(self.count if model.parity == "upstream" else runner.iter + 1)

    def before_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Count an evaluation forward."""
        self.count += 1


@HOOKS.register_module()
class SplitHook(Hook):
    """Pass the ids of unseen classes from the data set's metainfo to the model."""

    def before_train(self, runner: Any) -> None:
        """Set the split after weights are loaded, before the first iteration."""
        model: Any = unwrap_model(runner.model)
        model.split(runner.train_dataloader.dataset.metainfo.get("unseen"))

    def before_test(self, runner: Any) -> None:
        """Check the split after the checkpoint is loaded; the model may refuse another than that of its training."""
        model: Any = unwrap_model(runner.model)
        model.check_eval_split(runner.test_dataloader.dataset.metainfo.get("unseen"))


def _parse_stage_range(name: str, stage_range: StageRange) -> tuple[int, float] | None:
    if stage_range is None or stage_range[0] < 0:
        return None
    first, last = stage_range
    end = float("inf") if last < 0 else last
    if first < 1 or end < first:
        raise ValueError(
            f"Expected {name}=(first, last) with 1 <= first <= last, or last -1, but got {tuple(stage_range)}"
        )
    return first, end
