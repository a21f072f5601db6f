"""Checkpoints of train.py as files and as tensors of a model; finite losses and weights."""

import pytest
import torch
from mmengine.logging import HistoryBuffer

from proxyclip.models.trained.nonfinite import NonFiniteError, check_finite_losses, check_finite_weights
from proxyclip.models.trained.state_dict import load_checkpoint_file, load_matching_tensors
from proxyclip.models.weights import WeightsError


def test_load_checkpoint_file_refuses_other_files(tmp_path):
    for name, content in (("text.pth", b"text"), ("empty.pth", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=f"{name} cannot be read"):
            load_checkpoint_file(tmp_path / name)
    torch.save({"w": torch.ones(1)}, tmp_path / "bare.pth")
    with pytest.raises(WeightsError, match="lacks `state_dict`"):
        load_checkpoint_file(tmp_path / "bare.pth")
    torch.save({"meta": {}, "state_dict": {}, "code": HistoryBuffer()}, tmp_path / "pickle.pth")
    with pytest.raises(WeightsError, match="nothing was run"):
        load_checkpoint_file(tmp_path / "pickle.pth")
    with pytest.raises(WeightsError, match="no checkpoint"):
        load_checkpoint_file(tmp_path / "iter_1.pth")


def test_load_matching_tensors_refuses_another_model(tmp_path):
    model = torch.nn.Linear(2, 1)
    state = {"weight": torch.full((1, 2), 3.0), "other": torch.ones(1)}
    assert load_matching_tensors(model, state, tmp_path, whole=False) == ["bias"] and model.weight[0, 0] == 3
    with pytest.raises(ValueError, match=r"2 tensors are missing.*such as bias, other"):
        load_matching_tensors(model, state, tmp_path, whole=True)
    with pytest.raises(ValueError, match="does not fit this config"):
        load_matching_tensors(model, {"weight": torch.ones(3)}, tmp_path, whole=False)


def test_check_finite_losses_names_each_bad_term():
    finite = {
        "loss_ce": torch.ones(2, 3),
        "loss_two": [torch.ones(()), torch.zeros(())],
        "acc": torch.tensor(torch.nan),
    }
    check_finite_losses(finite)
    with pytest.raises(NonFiniteError, match=r"number: loss_two = inf$"):
        check_finite_losses({**finite, "loss_two": [torch.ones(()), torch.tensor(torch.inf)]})


def test_check_finite_weights_names_bad_tensors():
    check_finite_weights({"a": torch.ones(2), "n": torch.ones(2, dtype=torch.long)})
    with pytest.raises(NonFiniteError, match="such as a"):
        check_finite_weights({"a": torch.tensor([1.0, torch.nan])})
