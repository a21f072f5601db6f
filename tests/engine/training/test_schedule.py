"""The parts of a training alone: learning rates, draws, guards, mixed precision, what a checkpoint may hold."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from helpers.reference import arrays
from mmengine.logging import HistoryBuffer
from torch.utils.data import DataLoader

from proxyclip.engine.training import optim
from proxyclip.engine.training.checkpoint import (
    find_latest_checkpoint,
    find_previous_checkpoint,
    make_checkpoint_plain,
    remove_checkpoints,
    to_plain_values,
)
from proxyclip.engine.training.loop import SeededDraws, SeededSampler, seed_dataloader_config
from proxyclip.engine.training.schedule import WarmupPolyLR
from proxyclip.models.trained.nonfinite import (
    NonFiniteLoss,
    NonFiniteWeights,
    check_finite_losses,
    check_finite_weights,
)
from proxyclip.models.trained.state_dict import load_matching_tensors, read_checkpoint_state
from proxyclip.models.weights import WeightsError

SGD = dict(power=0.9, eta_min=1e-4)
CLIPRC = dict(power=0.9, eta_min=1e-6, warmup=1500)
SEGFORMER = dict(warmup=1500)
CURVES = {
    **{f"sgd_{name}": (0.01, SGD) for name in ("300", "2k", "4k", "8k", "20k", "80k")},
    "sgd_context_zs_40k": (0.004, SGD),
    "adamw_segformer_8k_backbone": (2.4e-5, SEGFORMER),
    "adamw_segformer_8k_head": (2.4e-4, SEGFORMER),
    **{f"adamw_cliprc_{name}": (2e-4, CLIPRC) for name in ("20k", "40k", "80k")},
}


def optimizer(*rates: float) -> torch.optim.Optimizer:
    groups = [dict(params=[torch.nn.Parameter(torch.zeros(1))], lr=rate) for rate in rates]
    return torch.optim.SGD(groups, lr=1.0)


def test_all_curves_are_known():
    assert {name.split("/")[0] for name in arrays("trained/lr_schedules")} == set(CURVES)


@pytest.mark.parametrize("name", CURVES)
def test_learning_rates_are_those_of_the_published_runs(name):
    golden, (base, options) = arrays("trained/lr_schedules"), CURVES[name]
    iterations, rates = golden[f"{name}/iter"], golden[f"{name}/lr"]
    schedule = WarmupPolyLR(optimizer(base), end=int(iterations[-1]) + 1, by_epoch=False, **options)
    np.testing.assert_allclose([schedule.at(int(i), base) for i in iterations], rates, rtol=1e-6, atol=0)


def test_each_group_has_its_own_rate_and_a_resumed_one_that_of_the_config():
    first = optimizer(1.0, 10.0)
    schedule = WarmupPolyLR(first, end=4, warmup=2, warmup_ratio=0.5, eta_min=0.0, by_epoch=False)
    seen = [[group["lr"] for group in first.param_groups]]
    for _ in range(3):
        first.step()
        schedule.step()
        seen.append([group["lr"] for group in first.param_groups])
    assert seen == [[0.5, 5.0], [0.5625, 5.625], [0.5, 5.0], [0.25, 2.5]]
    saved = first.state_dict(), schedule.state_dict()
    second = optimizer(0.2, 2.0)
    again = WarmupPolyLR(second, end=8, by_epoch=False)
    second.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    assert [group["lr"] for group in second.param_groups] == [0.2 * 5 / 8, 2.0 * 5 / 8]
    second.step()
    again.step()
    assert [group["lr"] for group in second.param_groups] == [0.1, 1.0]


@pytest.mark.parametrize("wrong", [dict(), dict(by_epoch=False, warmup=-1)])
def test_schedules_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match="xpected"):
        WarmupPolyLR(optimizer(1.0), end=4, **wrong)


class Noise:
    """A data set that returns its index and a random number of each generator."""

    metainfo = {"classes": ("a",)}  # noqa: RUF012

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return index, random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002


def drawn(rank=0, world=1, batch=4, start=0, workers=0, count=6, seed=7) -> list:
    sampler = SeededSampler(Noise(), seed=seed)
    sampler.rank, sampler.world, sampler.start = rank, world, start
    loader = DataLoader(
        SeededDraws(Noise()), sampler=sampler, batch_size=batch, num_workers=workers, collate_fn=list,
        persistent_workers=workers > 0,
    )  # fmt: skip
    batches = iter(loader)
    return [next(batches) for _ in range(count)]


def test_draws_depend_on_seed_and_number_alone():
    whole = drawn()
    samples = [sample for batch in whole for sample in batch]
    first, second = ([index for index, *_ in part] for part in (samples[:5], samples[5:10]))
    assert sorted(first) == sorted(second) == list(range(5)) and first != second
    assert len({sample[1] for sample in samples}) == len({sample[3] for sample in samples}) == 24
    assert drawn(workers=2) == whole
    assert drawn(start=8, count=4) == whole[2:]
    parts = [drawn(rank, world=2, batch=2) for rank in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == [sorted(batch) for batch in whole]
    assert drawn(seed=8) != whole


def test_other_samplers_are_refused_and_the_endless_one_gives_way():
    loader = dict(batch_size=1, sampler=dict(type="InfiniteSampler", shuffle=False), dataset=dict(type="X"))
    assert seed_dataloader_config(loader)["sampler"] == dict(type="SeededSampler", shuffle=False)
    with pytest.raises(ValueError, match="'SeededSampler', but got 'DefaultSampler'"):
        seed_dataloader_config({**loader, "sampler": dict(type="DefaultSampler")})
    with pytest.raises(ValueError, match="but got a batch_sampler"):
        seed_dataloader_config({**loader, "batch_sampler": dict(type="Any")})


def test_losses_that_are_no_numbers():
    fine = {"loss_ce": torch.ones(2, 3), "loss_two": [torch.ones(()), torch.zeros(())], "acc": torch.tensor(torch.nan)}
    check_finite_losses(fine)
    with pytest.raises(NonFiniteLoss, match="loss_two = inf") as caught:
        check_finite_losses({**fine, "loss_two": [torch.ones(()), torch.tensor(torch.inf)]})
    assert list(caught.value.terms) == ["loss_two"]
    check_finite_weights({"a": torch.ones(2), "n": torch.ones(2, dtype=torch.long)})
    with pytest.raises(NonFiniteWeights, match="such as a"):
        check_finite_weights({"a": torch.tensor([1.0, torch.nan])})


def test_mixed_precision_follows_the_device():
    plain = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=1.0))
    assert optim.mixed(plain, "cuda") == {
        **plain,
        "type": "AmpOptimWrapper",
        "dtype": "float16",
        "loss_scale": "dynamic",
    }
    assert optim.mixed({**plain, "dtype": "bfloat16"}, "cuda")["dtype"] == "bfloat16"
    assert optim.mixed({**plain, "loss_scale": 512.0}, "cpu") == {**plain, "type": "CPUAmpOptimWrapper"}
    with pytest.raises(ValueError, match="'OptimWrapper', but got 'Mine'"):
        optim.mixed(dict(type="Mine"), "cpu")
    with pytest.raises(ValueError, match="'bfloat16' on a CPU, but got 'float16'"):
        optim.CPUAmpOptimWrapper(dtype="float16", optimizer=optimizer(1.0))


def test_a_checkpoint_holds_tensors_and_plain_values(tmp_path):
    hub = {"log_scalars": {"loss": HistoryBuffer([1], [1])}, "runtime_info": {"a": np.float64(1), "b": object()}}
    checkpoint = {
        "meta": {"iter": np.int64(3), "palette": np.eye(2), "classes": ("a", ["b"])},
        "state_dict": {"w": torch.ones(2)},
        "message_hub": {**hub, "resumed_keys": {}},
    }
    make_checkpoint_plain(checkpoint)
    assert checkpoint["message_hub"] == {"log_scalars": {}, "runtime_info": {"a": 1.0}, "resumed_keys": {"a": True}}
    file = tmp_path / "iter_3.pth"
    torch.save(checkpoint, file)
    state, meta = read_checkpoint_state(file)
    assert state["w"].tolist() == [1, 1] and meta["iter"] == 3 and meta["classes"] == ("a", ["b"])
    assert torch.equal(meta["palette"], torch.eye(2, dtype=torch.float64))
    with pytest.raises(TypeError, match="got a object"):
        to_plain_values({"a": [object()]})


def test_files_that_are_no_checkpoints(tmp_path):
    for name, content in (("text.pth", b"text"), ("empty.pth", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=f"{name} cannot be read"):
            read_checkpoint_state(tmp_path / name)
    torch.save({"w": torch.ones(1)}, tmp_path / "bare.pth")
    with pytest.raises(WeightsError, match="lacks `state_dict`"):
        read_checkpoint_state(tmp_path / "bare.pth")
    torch.save({"meta": {}, "state_dict": {}, "code": HistoryBuffer()}, tmp_path / "pickle.pth")
    with pytest.raises(WeightsError, match="nothing was run"):
        read_checkpoint_state(tmp_path / "pickle.pth")
    with pytest.raises(WeightsError, match="no checkpoint"):
        read_checkpoint_state(tmp_path / "iter_1.pth")


def test_which_checkpoint_is_the_last(tmp_path):
    assert find_latest_checkpoint(tmp_path) is None
    for number in (4, 10, 8):
        (tmp_path / f"iter_{number}.pth").touch()
    (tmp_path / "iter_best.pth").touch()
    assert find_latest_checkpoint(tmp_path) == tmp_path / "iter_10.pth"
    (tmp_path / "last_checkpoint").write_text("/elsewhere/iter_8.pth")
    assert find_latest_checkpoint(tmp_path) == tmp_path / "iter_8.pth"
    assert find_previous_checkpoint(tmp_path / "iter_8.pth") == tmp_path / "iter_4.pth"
    assert find_previous_checkpoint(tmp_path / "iter_4.pth") is None
    remove_checkpoints(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["iter_best.pth"]


def test_weights_of_another_model(tmp_path):
    model = torch.nn.Linear(2, 1)
    state = {"weight": torch.full((1, 2), 3.0), "other": torch.ones(1)}
    assert load_matching_tensors(model, state, tmp_path, whole=False) == ["bias"] and model.weight[0, 0] == 3
    with pytest.raises(ValueError, match=r"2 tensors are missing.*such as bias, other"):
        load_matching_tensors(model, state, tmp_path, whole=True)
    with pytest.raises(ValueError, match="does not fit this config"):
        load_matching_tensors(model, {"weight": torch.ones(3)}, tmp_path, whole=False)
