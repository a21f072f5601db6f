"""Optimizer wrappers: mixed precision (`--amp`) and weight-decay groups."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS
from torch import nn

from proxyclip.engine.wrappers import unwrap_model


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Run forward passes in bfloat16 on a CPU, where PyTorch finds that safe; parameters and steps stay float32.

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
        """Run a forward pass under autocast."""
        with super().optim_context(model), torch.autocast("cpu", torch.bfloat16):
            yield


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class ParityOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's constructor, with the groups that a model's `parity` asks for.

    "upstream": learning rate and weight decay are the same for all parameters, because the published keys that except
    norms have no effect. "paper": norms have no weight decay. `paramwise_cfg` of a config has priority.
    """

    def __call__(self, model: Any) -> Any:
        """Build the optimizer wrapper of a model with a `parity`."""
        if unwrap_model(model).parity == "paper":
            self.paramwise_cfg: dict[str, Any] = {"norm_decay_mult": 0.0, **self.paramwise_cfg}
        return super().__call__(model)


def enable_mixed_precision(wrapper: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Put mixed precision into the config of an optimizer wrapper.

    On CUDA it is MMEngine's AmpOptimWrapper, in float16 with a dynamic loss scale unless `dtype` is 'bfloat16'; on a
    CPU it is CPUAmpOptimWrapper.

    Args:
        wrapper: a config of type OptimWrapper or AmpOptimWrapper.
        device: 'cuda' or 'cpu'.

    Raises:
        ValueError: a wrapper of another type.
    """
    wrapper_type = wrapper.get("type", "OptimWrapper")
    if wrapper_type not in ("OptimWrapper", "AmpOptimWrapper"):
        raise ValueError(f"--amp: expected optim_wrapper.type to be 'OptimWrapper', but got {wrapper_type!r}")
    if device == "cuda":
        # MMEngine builds the scaler by the name it had before torch.amp
        warnings.filterwarnings("ignore", message=r".*torch\.cuda\.amp\.GradScaler", category=FutureWarning)
        return {"dtype": "float16", "loss_scale": "dynamic", **wrapper, "type": "AmpOptimWrapper"}
    rest = {key: value for key, value in wrapper.items() if key != "loss_scale"}
    return {**rest, "type": "CPUAmpOptimWrapper"}
