"""Precision, the wrapper of frozen models and the vocabulary check."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.model import is_model_wrapper
from mmengine.registry import MODEL_WRAPPERS
from torch import nn

from proxyclip.engine.hooks import VocabularyCheckHook
from proxyclip.engine.wrappers import EvalOnly, unwrap_model
from proxyclip.models import precision
from proxyclip.models.precision import cpu_has_bf16, pick_dtype


def test_pick_dtype(monkeypatch):
    monkeypatch.setattr("proxyclip.models.precision.cpu_has_bf16", lambda: True)
    assert pick_dtype("auto", "cuda") is torch.float16
    assert pick_dtype("auto", torch.device("cpu")) is torch.bfloat16
    monkeypatch.setattr("proxyclip.models.precision.cpu_has_bf16", lambda: False)
    assert pick_dtype("auto", "cpu") is torch.float32
    assert pick_dtype("bf16", "cpu") is torch.bfloat16
    assert pick_dtype("fp32", "cuda:1") is torch.float32


def test_pick_dtype_refuses():
    with pytest.raises(ValueError, match="auto, fp32, fp16, bf16, but got 'half'"):
        pick_dtype("half", "cpu")
    with pytest.raises(ValueError, match="no fast fp16"):
        pick_dtype("fp16", "cpu")


def test_cpu_has_bf16_survives_a_torch_without_its_probes(monkeypatch):
    monkeypatch.setattr(precision.torch, "cpu", SimpleNamespace())
    assert isinstance(cpu_has_bf16(), bool)


class Frozen(nn.Module):
    words = "here"

    def forward(self, x):
        return x + 1

    def test_step(self, data):
        return data * 2

    val_step = test_step


def test_eval_only_wraps_and_passes_through():
    model = MODEL_WRAPPERS.build(dict(type="EvalOnly", module=Frozen(), device_ids=[0], broadcast_buffers=False))
    assert is_model_wrapper(model) and unwrap_model(model) is model.module
    assert (model(1), model.test_step(2), model.val_step(3), model.words) == (2, 4, 6, "here")
    assert not model.eval().module.training and model.train().module.training
    with pytest.raises(AttributeError, match="absent"):
        _ = model.absent


def runner(lines: int, classes: int, wrapped: bool):
    model = Frozen()
    model.vocabulary = SimpleNamespace(classes=["x"] * lines)
    dataset = type("SomeDataset", (), {"metainfo": {"classes": ["x"] * classes}})()
    model = EvalOnly(model) if wrapped else model
    loader = SimpleNamespace(dataset=dataset)
    return SimpleNamespace(model=model, test_dataloader=loader, cfg={"model": {"name_path": "cls_some.txt"}})


@pytest.mark.parametrize("wrapped", [False, True])
def test_vocabulary_check(wrapped):
    hook = VocabularyCheckHook()
    hook.before_test(runner(3, 3, wrapped))
    with pytest.raises(ValueError, match=r"cls_some\.txt has 4 lines and SomeDataset has 3 classes"):
        hook.before_test(runner(4, 3, wrapped))
