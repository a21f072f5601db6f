"""Mixed precision for training: what `--amp` makes of the config's optimiser wrapper, on CUDA and on a CPU."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Forward passes in bfloat16 where PyTorch finds that safe, on a CPU; parameters and steps stay float32.

    MMEngine's AmpOptimWrapper is for GPUs only. bfloat16 has the range of float32, so the loss is not scaled.

    Args:
        dtype: 'bfloat16', the only one a CPU has.
        kwargs: of MMEngine's OptimWrapper.
    """

    def __init__(self, dtype: str = "bfloat16", **kwargs: Any) -> None:
        if dtype != "bfloat16":
            raise ValueError(f"Expected optim_wrapper.dtype to be 'bfloat16' on a CPU, but got {dtype!r}")
        super().__init__(**kwargs)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Around a forward pass."""
        with super().optim_context(model), torch.autocast("cpu", torch.bfloat16):
            yield


def mixed(wrapper: Mapping[str, Any], device: str) -> dict[str, Any]:
    """The config of an optimiser wrapper with mixed precision.

    On CUDA it is MMEngine's AmpOptimWrapper, in float16 with a dynamic loss scale unless `dtype` says 'bfloat16'; on a
    CPU it is CPUAmpOptimWrapper.

    Args:
        wrapper: a config of type OptimWrapper or AmpOptimWrapper.
        device: 'cuda' or 'cpu'.

    Raises:
        ValueError: a wrapper of another type.
    """
    kind = wrapper.get("type", "OptimWrapper")
    if kind not in ("OptimWrapper", "AmpOptimWrapper"):
        raise ValueError(f"--amp: expected optim_wrapper.type to be 'OptimWrapper', but got {kind!r}")
    if device == "cuda":
        # MMEngine builds the scaler by the name it had before torch.amp
        warnings.filterwarnings("ignore", message=r".*torch\.cuda\.amp\.GradScaler", category=FutureWarning)
        return {"dtype": "float16", "loss_scale": "dynamic", **wrapper, "type": "AmpOptimWrapper"}
    rest = {key: value for key, value in wrapper.items() if key != "loss_scale"}
    return {**rest, "type": "CPUAmpOptimWrapper"}
