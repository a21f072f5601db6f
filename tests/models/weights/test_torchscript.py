"""TorchScript archives read as what they store: exactly what torch.jit.load gives, without it."""

import re

import pytest
import torch
from helpers.weights_archives import Block, rewrite_archive, save_network
from torch import nn

from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.reading import read_tensors
from proxyclip.models.weights.torchscript import is_torchscript, read_torchscript

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


def assert_same_tensors(actual, expected):
    """Names in order, types, shapes, strides and bytes."""
    assert list(actual) == list(expected)
    for name, tensor in expected.items():
        own = actual[name]
        assert (own.dtype, own.shape, own.stride()) == (tensor.dtype, tensor.shape, tensor.stride()), name
        assert own.detach().numpy().tobytes() == tensor.detach().numpy().tobytes(), name


@pytest.mark.parametrize("traced", [False, True])
def test_tensors_are_those_of_torch(traced, tmp_path, monkeypatch):
    path = tmp_path / "network.pt"
    expected = save_network(path, traced)
    assert {"input_resolution", "block.weight", "layers.0.0.bias", "part"} <= set(expected) and len(expected) > 15
    for module, name in ((torch.jit, "load"), (torch, "load")):
        monkeypatch.setattr(module, name, None)
    assert_same_tensors(read_torchscript(path), expected)
    actual = read_torchscript(path)
    assert actual["part"].untyped_storage().data_ptr() == actual["rest"].untyped_storage().data_ptr()
    assert actual["tied.weight"] is actual["layers.0.0.weight"]


def test_a_frozen_module_holds_no_tensors(tmp_path):
    torch.jit.freeze(torch.jit.script(Block().eval())).save(str(tmp_path / "frozen.pt"))
    assert not torch.jit.load(str(tmp_path / "frozen.pt")).state_dict()
    with pytest.raises(WeightsError, match=r"frozen\.pt"):
        read_tensors(tmp_path / "frozen.pt")


def test_tensors_of_plain_objects_are_no_weights(tmp_path):
    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = {"a": torch.ones(2)}
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return x + self.table["a"].sum()

    torch.jit.script(Holder()).save(str(tmp_path / "holder.pt"))
    assert list(read_torchscript(tmp_path / "holder.pt")) == ["weight"]


def test_an_archive_without_its_pickle_is_refused_by_name(tmp_path):
    save_network(tmp_path / "network.pt")
    path = rewrite_archive(
        tmp_path / "network.pt", tmp_path / "bare.pt", lambda name, data: None if name.endswith("data.pkl") else data
    )
    assert is_torchscript(path)
    with pytest.raises(WeightsError, match=re.escape(f"{path} cannot be read (it lacks the entry 'data.pkl')")):
        read_tensors(path)


def test_archives_without_lists_of_parameters_have_all_tensors(tmp_path):
    """Those of PyTorch before 1.7; the lists tell which tensors are weights, where there are some."""
    expected = save_network(tmp_path / "new.pt")

    def remove_lists(name, data):
        return re.sub(rb"  __(parameters|buffers)__ = \[.*\]\n", b"", data) if name.endswith(".py") else data

    rewrite_archive(tmp_path / "new.pt", tmp_path / "old.pt", remove_lists)
    actual = read_torchscript(tmp_path / "old.pt")
    assert set(expected) <= set(actual)
    assert_same_tensors({name: actual[name] for name in expected}, expected)


def test_source_kept_for_debugging_may_have_a_state_function(tmp_path):
    """As that of PyTorch's own modules has; only the code itself is one."""
    expected = save_network(tmp_path / "plain.pt")
    source = b"def __setstate__(self, state): pass"
    rewrite_archive(
        tmp_path / "plain.pt", tmp_path / "debug.pt", lambda n, d: d + source if n.endswith(".debug_pkl") else d
    )
    assert source in (tmp_path / "debug.pt").read_bytes()
    assert_same_tensors(read_torchscript(tmp_path / "debug.pt"), expected)
