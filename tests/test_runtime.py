"""Precision, threads, processes, the wrapper of frozen models and the vocabulary check."""

import os
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import is_model_wrapper
from mmengine.registry import MODEL_WRAPPERS
from torch import nn

from proxyclip import runtime


def test_pick_dtype(monkeypatch):
    monkeypatch.setattr(runtime, "cpu_has_bf16", lambda: True)
    assert runtime.pick_dtype("auto", "cuda") is torch.float16
    assert runtime.pick_dtype("auto", torch.device("cpu")) is torch.bfloat16
    monkeypatch.setattr(runtime, "cpu_has_bf16", lambda: False)
    assert runtime.pick_dtype("auto", "cpu") is torch.float32
    assert runtime.pick_dtype("bf16", "cpu") is torch.bfloat16
    assert runtime.pick_dtype("fp32", "cuda:1") is torch.float32


def test_pick_dtype_refuses():
    with pytest.raises(ValueError, match="auto, fp32, fp16, bf16, but got 'half'"):
        runtime.pick_dtype("half", "cpu")
    with pytest.raises(ValueError, match="no fast fp16"):
        runtime.pick_dtype("fp16", "cpu")


def test_cpu_has_bf16_survives_a_torch_without_its_probes(monkeypatch):
    monkeypatch.setattr(runtime.torch, "cpu", SimpleNamespace())
    assert isinstance(runtime.cpu_has_bf16(), bool)


class Frozen(nn.Module):
    words = "here"

    def forward(self, x):
        return x + 1

    def test_step(self, data):
        return data * 2

    val_step = test_step


def test_eval_only_wraps_and_passes_through():
    model = MODEL_WRAPPERS.build(dict(type="EvalOnly", module=Frozen(), device_ids=[0], broadcast_buffers=False))
    assert is_model_wrapper(model) and runtime.unwrap(model) is model.module
    assert (model(1), model.test_step(2), model.val_step(3), model.words) == (2, 4, 6, "here")
    assert not model.eval().module.training and model.train().module.training
    with pytest.raises(AttributeError, match="absent"):
        _ = model.absent


def runner(lines: int, classes: int, wrapped: bool):
    model = Frozen()
    model.vocabulary = SimpleNamespace(classes=["x"] * lines)
    dataset = type("SomeDataset", (), {"metainfo": {"classes": ["x"] * classes}})()
    model = runtime.EvalOnly(model) if wrapped else model
    loader = SimpleNamespace(dataset=dataset)
    return SimpleNamespace(model=model, test_dataloader=loader, cfg={"model": {"name_path": "cls_some.txt"}})


@pytest.mark.parametrize("wrapped", [False, True])
def test_vocabulary_check(wrapped):
    hook = runtime.VocabularyCheckHook()
    hook.before_test(runner(3, 3, wrapped))
    with pytest.raises(ValueError, match=r"cls_some\.txt has 4 lines and SomeDataset has 3 classes"):
        hook.before_test(runner(4, 3, wrapped))


def test_init_distributed_without_a_launcher_and_with_wrong_ones(monkeypatch):
    assert runtime.init_distributed("none") == (0, 1)
    runtime.close_distributed()
    with pytest.raises(ValueError, match="one of none, pytorch, slurm, mpi, but got 'ray'"):
        runtime.init_distributed("ray")
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK"):
        monkeypatch.delenv(name, raising=False)
    for launcher, start in (("pytorch", "torchrun"), ("slurm", "srun"), ("mpi", "mpirun")):
        with pytest.raises(RuntimeError, match=start):
            runtime.init_distributed(launcher)


def test_variables_of_mpi_and_slurm(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "3")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_RANK", "1")
    monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "2")
    with pytest.raises(RuntimeError, match="MASTER_ADDR"):
        runtime._set_variables("mpi")
    monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "4")
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    runtime._set_variables("mpi")
    assert [os.environ[n] for n in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")] == ["3", "4", "1", "4"]
    assert os.environ["MASTER_ADDR"] == "127.0.0.1"


def test_set_threads_shares_the_cores(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(runtime, "_cores", lambda: 8)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    try:
        assert runtime.set_threads(2) == 4
        monkeypatch.setenv("OMP_NUM_THREADS", "1")  # torchrun's default
        assert runtime.set_threads(2) == 4
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        assert runtime.set_threads(2) == 3
        monkeypatch.delenv("OMP_NUM_THREADS")
        monkeypatch.setenv("LOCAL_WORLD_SIZE", "16")
        assert runtime.set_threads(32) == 1
    finally:
        torch.set_num_threads(before)
