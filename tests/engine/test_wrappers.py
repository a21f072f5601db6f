"""The wrapper of frozen models and the vocabulary check."""

from types import SimpleNamespace

import pytest
from mmengine.model import is_model_wrapper
from mmengine.registry import MODEL_WRAPPERS
from torch import nn

from proxyclip.engine.hooks import VocabularyCheckHook
from proxyclip.engine.wrappers import EvalOnly, unwrap_model


class Frozen(nn.Module):
    attribute = "value"

    def forward(self, x):
        return x + 1

    def test_step(self, data):
        return data * 2

    val_step = test_step


def test_eval_only_wraps_and_forwards():
    model = MODEL_WRAPPERS.build(dict(type="EvalOnly", module=Frozen(), device_ids=[0], broadcast_buffers=False))
    assert is_model_wrapper(model) and unwrap_model(model) is model.module
    assert (model(1), model.test_step(2), model.val_step(3), model.attribute) == (2, 4, 6, "value")
    assert not model.eval().module.training and model.train().module.training
    with pytest.raises(AttributeError, match="absent"):
        _ = model.absent


@pytest.mark.parametrize("wrapped", [False, True])
def test_vocabulary_check_hook_refuses_other_numbers_of_classes(wrapped):
    model = Frozen()
    model.vocabulary = SimpleNamespace(classes=["x"] * 3)
    loader = SimpleNamespace(dataset=type("SomeDataset", (), {"metainfo": {"classes": ["x"] * 3}})())
    cfg = {"model": {"name_path": "cls_some.txt"}}
    runner = SimpleNamespace(model=EvalOnly(model) if wrapped else model, test_dataloader=loader, cfg=cfg)
    hook = VocabularyCheckHook()
    hook.before_test(runner)
    model.vocabulary.classes.append("x")
    with pytest.raises(ValueError, match=r"cls_some\.txt has 4 lines and SomeDataset has 3 classes"):
        hook.before_test(runner)
