"""Device, precision, and the wrapper that lets a frozen model run in several processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS, MODEL_WRAPPERS
from torch import nn

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def pick_dtype(precision: str, device: torch.device | str) -> torch.dtype:
    """The number format for the backbones.

    `auto` is fp16 on CUDA, bf16 on a CPU that computes in it (AVX512-BF16, AMX or Arm's BF16), else fp32.

    Raises:
        ValueError: an unknown name, or fp16 on a CPU.
    """
    cuda = torch.device(device).type == "cuda"
    if precision == "auto":
        if cuda:
            return torch.float16
        return torch.bfloat16 if cpu_has_bf16() else torch.float32
    if precision not in PRECISIONS:
        raise ValueError(f"Expected `precision` to be one of auto, {', '.join(PRECISIONS)}, but got {precision!r}")
    if precision == "fp16" and not cuda:
        raise ValueError("precision='fp16' needs a CUDA device: a CPU has no fast fp16. Choose auto, bf16 or fp32.")
    return PRECISIONS[precision]


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware; False where it cannot be told."""
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        try:
            if getattr(torch.cpu, probe)():
                return True
        except (AttributeError, RuntimeError):
            continue
    try:
        words = set(Path("/proc/cpuinfo").read_text("utf-8", errors="ignore").split())
    except OSError:
        return False
    return not words.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


@MODEL_WRAPPERS.register_module()
class EvalOnly(nn.Module):
    """Holds a frozen model in a distributed evaluation: nothing to synchronise, so nothing is.

    DistributedDataParallel refuses a model without trainable parameters, and mmengine hands it `device_ids`, which a
    CPU has none of. Other options of a wrapper are accepted and have no effect here.
    """

    def __init__(self, module: nn.Module, **unused: Any) -> None:
        super().__init__()
        self.module = module

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)

    def _call(self, name: str, data):
        return getattr(self.module, name)(data)

    def forward(self, *args, **kwargs):
        """The model's own forward."""
        return self.module(*args, **kwargs)

    def test_step(self, data):
        """The model's own test_step."""
        return self._call("test_step", data)

    def val_step(self, data):
        """The model's own val_step."""
        return self._call("val_step", data)


@HOOKS.register_module()
class VocabularyCheckHook(Hook):
    """Refuses an evaluation whose vocabulary and dataset differ in their number of classes."""

    priority = "VERY_HIGH"

    def before_test(self, runner) -> None:
        """Compare both numbers.

        Raises:
            ValueError: they differ; the message has both numbers, the vocabulary's file and the dataset's class.
        """
        vocabulary = getattr(unwrap(runner.model), "vocabulary", None)
        dataset = runner.test_dataloader.dataset
        classes = getattr(dataset, "metainfo", {}).get("classes")
        if vocabulary is None or classes is None or len(vocabulary.classes) == len(classes):
            return
        file = runner.cfg.get("model", {}).get("name_path", "the model's name_path")
        raise ValueError(
            f"Expected one line of the vocabulary for each class of the dataset, but {file} has "
            f"{len(vocabulary.classes)} lines and {type(dataset).__name__} has {len(classes)} classes. "
            "Choose the vocabulary of this dataset with model.name_path."
        )


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside a wrapper, or the model itself."""
    inner = getattr(model, "module", None)
    return inner if is_model_wrapper(model) and isinstance(inner, nn.Module) else model
