"""Files of torch.save read without torch.load: the same values, and no more memory than the file has bytes."""

import argparse
import io
import pathlib
import pickle
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch
from helpers.weights_archives import make_pickle, rewrite_archive, save_bytes
from torch import nn

from proxyclip.models.weights.pickle_globals import PickleRefused
from proxyclip.models.weights.pickle_machine import MAX_OPCODES, PickleMachine
from proxyclip.models.weights.pickles import read_pickle


def make_content():
    """Tensors of many types and layouts, and the plain values of a training."""
    x = torch.randn(4, 6)
    tensors = {f"{dtype}": torch.tensor([1, 0, 1], dtype=dtype) for dtype in (torch.bool, torch.int16, torch.complex64)}
    state = nn.BatchNorm2d(3).state_dict()  # with versions
    return {
        "whole": x, "turned": x.t(), "part": x[1:3, ::2], "wide": x[0].expand(5, 6), "none": torch.zeros(0, 3),
        "scalar": torch.tensor(3.0), "brain": x.bfloat16(), "half": x.half(), **tensors,
        "parameter": nn.Parameter(torch.ones(2)), "state": state, "iteration": 7, "rate": 1e-3, "name": "run",
        "flag": True, "nothing": None, "list": [1, (2, "3")], "names": {"a", "b"}, "size": x.shape,
        "dtype": torch.float16, "device": torch.device("cpu"), "counts": Counter("aab"), "numbers": {2**40: -1},
        "ordered": OrderedDict(b=1, a=2), "bytes": b"\0\1", "pair": {(1, 2): 3}
    }  # fmt: skip


@pytest.mark.parametrize("is_archive", [True, False])
def test_values_are_those_of_torch(is_archive, tmp_path):
    path = tmp_path / "file.pth"
    torch.manual_seed(0)
    path.write_bytes(save_bytes(make_content(), _use_new_zipfile_serialization=is_archive))
    expected, actual = torch.load(path, weights_only=True), read_pickle(path)
    assert list(actual) == list(expected)
    for name, value in expected.items():
        own = actual[name]
        if isinstance(value, torch.Tensor):
            assert (own.dtype, own.shape, own.stride()) == (value.dtype, value.shape, value.stride()), name
            assert torch.equal(own, value), name
        elif name != "state":
            assert own == value and type(own) is type(value), name
    assert actual["whole"].untyped_storage().data_ptr() == actual["turned"].untyped_storage().data_ptr()
    assert actual["state"]._metadata == expected["state"]._metadata
    layer = nn.BatchNorm2d(3)
    layer.load_state_dict(actual["state"])


def test_arguments_of_trainings_are_ignored(tmp_path):
    content = {"args": argparse.Namespace(a=1, out=pathlib.Path("x")), "best": np.float64(3.5), "w": torch.ones(2)}
    for number in (True, False):
        path = tmp_path / f"{number}.pth"
        path.write_bytes(save_bytes(content, _use_new_zipfile_serialization=number))
        assert torch.equal(read_pickle(path)["w"], torch.ones(2))


REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


def make_tensor_pickle(size, stride, offset=0, count=3, key="0"):
    storage = (b"(", "storage", b"ctorch\nFloatStorage\n", key, "cpu", count, b"tQ")
    return make_pickle(REBUILD, b"(", *storage, offset, size, stride, False, {}, b"tR")


@pytest.mark.parametrize(
    ("size", "stride", "offset", "count"),
    [
        ((10**9, 10**9), (10**9, 1), 0, 3),
        ((10**9, 10**9), (0, 0), 0, 3),
        ((4,), (1,), 0, 3),
        ((2,), (3,), 0, 3),
        ((1,), (1,), 3, 3),
        ((3,), (1,), -1, 3),
        ((-3,), (1,), 0, 3),
        ((3,), (-1,), 2, 3),
        ((3,), (1, 1), 0, 3),
        ((True,), (1,), 0, 3),
        ((2**70, 0), (1, 1), 0, 3),
        ((3,), (1,), 0, 10**15),
        ((3,), (1,), 0, 2),
    ],
)
def test_shapes_beyond_the_bytes_are_refused(size, stride, offset, count, tmp_path, monkeypatch):
    torch.save({"w": torch.zeros(3)}, tmp_path / "p.pt")
    data = make_tensor_pickle(size, stride, offset, count)
    path = rewrite_archive(tmp_path / "p.pt", tmp_path / "x.pt", lambda n, d: data if n.endswith("data.pkl") else d)
    create = torch.empty
    monkeypatch.setattr(
        torch, "empty", lambda size, **options: create(size, **options) if size < 100 else pytest.fail()
    )
    with pytest.raises(ValueError if count != 3 else PickleRefused, match=r"tensor|damaged"):
        read_pickle(path)
    good = make_tensor_pickle((3,), (1,))
    path = rewrite_archive(tmp_path / "p.pt", tmp_path / "y.pt", lambda n, d: good if n.endswith("data.pkl") else d)
    assert torch.equal(read_pickle(path), torch.zeros(3))


def test_a_legacy_file_that_declares_more_than_it_has_is_refused_before_memory_is_taken(tmp_path, monkeypatch):
    data = save_bytes({"w": torch.zeros(3)}, _use_new_zipfile_serialization=False)
    path = tmp_path / "w.pth"
    path.write_bytes(data.replace(b"K\x03N", b"J\xff\xff\xff\x3fN"))
    monkeypatch.setattr(torch, "empty", None)
    with pytest.raises(PickleRefused, match="declare more than"):
        read_pickle(path)


def run(data):
    return PickleMachine().run_pickle(io.BytesIO(data))


def test_pickles_that_grow_are_refused():
    deep = b"(" * 10 + b"]" * (MAX_OPCODES + 10) + b"."
    with pytest.raises(PickleRefused, match="more than"):
        run(deep)
    text = make_pickle("x" * 10**6)[2:-1] + b"q\x00"
    again = b"c_codecs\nencode\nq\x01" + text + b"0" + b"h\x01h\x00X\x06\x00\x00\x00latin1\x86R" * 50
    with pytest.raises(PickleRefused, match="copies more"):
        run(b"\x80\x02" + again + b".")
    assert run(pickle.dumps([1, {"a": (2, 3)}], 2)) == [1, {"a": (2, 3)}]


def test_keys_whose_hash_is_slow_are_refused():
    """A tuple of tuples of tuples has few bytes and a hash of hours."""
    nested = b"K\x01\x85" + b"2\x86" * 60
    with pytest.raises(PickleRefused, match="keys other than"):
        run(b"\x80\x02}" + nested + b"Ns.")
