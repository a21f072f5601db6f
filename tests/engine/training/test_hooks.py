"""StageHook: ranges of the stages, and how iterations are counted in each parity."""

from types import SimpleNamespace

import pytest

from proxyclip.engine.training.hooks import StageHook

GUIDED = "guided"
SELF_TRAINING = "self_training"


def test_stage_hook_parses_ranges():
    hook = StageHook(guided=(1, 3), self_training=(5, -1))
    assert [hook.at(n) for n in (1, 3, 4, 5, 999)] == [GUIDED, GUIDED, None, SELF_TRAINING, SELF_TRAINING]
    assert StageHook().at(10**6) == GUIDED and StageHook(guided=None).at(1) is None
    assert StageHook(guided=(-1, -1)).at(1) is None
    for ranges in (dict(guided=(1, -1), self_training=(2, -1)), dict(guided=(5, 9), self_training=(1, 5))):
        with pytest.raises(ValueError, match="do not overlap"):
            StageHook(**ranges)
    with pytest.raises(ValueError, match="1 <= first <= last"):
        StageHook(guided=(4, 3))


@pytest.mark.parametrize(
    ("parity", "expected"),
    [("paper", [GUIDED, SELF_TRAINING, SELF_TRAINING]), ("upstream", [GUIDED, SELF_TRAINING, GUIDED])],
)
def test_stage_hook_counts_forwards_upstream(parity, expected):
    """Set the stage of iteration 2 after an evaluation, and of iteration 4 after a resume."""
    model = SimpleNamespace(parity=parity, stage=None)
    hook = StageHook(guided=(1, 2), self_training=(3, -1))
    resumed = StageHook(guided=(1, 2), self_training=(3, -1))
    stages = []
    hook.before_train_iter(SimpleNamespace(model=model, iter=0), 0)
    stages.append(model.stage)
    for _ in range(2):
        hook.before_val_iter(SimpleNamespace(model=model, iter=1), 0)
    hook.before_train_iter(SimpleNamespace(model=model, iter=1 if parity == "upstream" else 2), 0)
    stages.append(model.stage)
    resumed.before_train_iter(SimpleNamespace(model=model, iter=4), 0)
    assert [*stages, model.stage] == expected
