"""WarmupPolyLR against the learning rates of the published runs."""

import numpy as np
import pytest
import torch
from helpers.reference import arrays

from proxyclip.engine.training.schedule import WarmupPolyLR

CURVES = {  # the others are compared with the configs
    "sgd_300": (0.01, dict(power=0.9, eta_min=1e-4)),
    "adamw_segformer_8k_head": (2.4e-4, dict(warmup=1500)),
    "adamw_cliprc_20k": (2e-4, dict(power=0.9, eta_min=1e-6, warmup=1500)),
}


def optimizer(*rates: float) -> torch.optim.Optimizer:
    groups = [dict(params=[torch.nn.Parameter(torch.zeros(1))], lr=rate) for rate in rates]
    return torch.optim.SGD(groups, lr=1.0)


@pytest.mark.parametrize("name", CURVES)
def test_schedule_equals_the_published_learning_rates(name):
    golden = arrays("trained/lr_schedules")
    base, options = CURVES[name]
    iterations = golden[f"{name}/iter"]
    schedule = WarmupPolyLR(optimizer(base), end=int(iterations[-1]) + 1, by_epoch=False, **options)
    rates = [schedule.at(int(i), base) for i in iterations]
    np.testing.assert_allclose(rates, golden[f"{name}/lr"], rtol=1e-6, atol=0)


def test_schedule_resumes_with_the_rates_of_the_config():
    first = optimizer(1.0, 10.0)
    schedule = WarmupPolyLR(first, end=4, warmup=2, warmup_ratio=0.5, eta_min=0.0, by_epoch=False)
    rates = [[group["lr"] for group in first.param_groups]]
    for _ in range(3):
        first.step()
        schedule.step()
        rates.append([group["lr"] for group in first.param_groups])
    assert rates == [[0.5, 5.0], [0.5625, 5.625], [0.5, 5.0], [0.25, 2.5]]
    second = optimizer(0.2, 2.0)
    again = WarmupPolyLR(second, end=8, by_epoch=False)
    second.load_state_dict(first.state_dict())
    again.load_state_dict(schedule.state_dict())
    assert [group["lr"] for group in second.param_groups] == [0.2 * 5 / 8, 2.0 * 5 / 8]
    second.step()
    again.step()
    assert [group["lr"] for group in second.param_groups] == [0.1, 1.0]


@pytest.mark.parametrize("options", [dict(), dict(by_epoch=False, warmup=-1)])
def test_schedule_refuses_bad_options(options):
    with pytest.raises(ValueError, match="xpected"):
        WarmupPolyLR(optimizer(1.0), end=4, **options)
