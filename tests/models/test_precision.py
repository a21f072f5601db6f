"""Number formats of image towers."""

from types import SimpleNamespace

import pytest
import torch

from proxyclip.models import precision
from proxyclip.models.precision import cpu_has_bf16, pick_dtype


def test_pick_dtype_depends_on_the_device(monkeypatch):
    monkeypatch.setattr("proxyclip.models.precision.cpu_has_bf16", lambda: True)
    assert pick_dtype("auto", "cuda") is torch.float16
    assert pick_dtype("auto", torch.device("cpu")) is torch.bfloat16
    monkeypatch.setattr("proxyclip.models.precision.cpu_has_bf16", lambda: False)
    assert pick_dtype("auto", "cpu") is torch.float32
    assert pick_dtype("bf16", "cpu") is torch.bfloat16
    assert pick_dtype("fp32", "cuda:1") is torch.float32


def test_pick_dtype_refuses_unknown_names_and_fp16_on_a_cpu():
    with pytest.raises(ValueError, match="auto, fp32, fp16, bf16, but got 'half'"):
        pick_dtype("half", "cpu")
    with pytest.raises(ValueError, match="no fast fp16"):
        pick_dtype("fp16", "cpu")


def test_cpu_has_bf16_without_probes_of_torch(monkeypatch):
    monkeypatch.setattr(precision.torch, "cpu", SimpleNamespace())
    assert isinstance(cpu_has_bf16(), bool)
