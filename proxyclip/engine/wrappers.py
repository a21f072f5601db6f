"""Model wrappers for several processes: frozen and trained models."""

from __future__ import annotations

import inspect
from typing import Any

from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.registry import MODEL_WRAPPERS
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@MODEL_WRAPPERS.register_module()
class EvalOnly(nn.Module):
    """Hold a frozen model in a distributed evaluation; nothing is synchronized.

    DistributedDataParallel refuses a model without trainable parameters, and MMEngine passes it `device_ids`, which a
    CPU does not have. Other options of a wrapper are accepted and have no effect here.
    """

    def __init__(self, module: nn.Module, **unused: Any) -> None:
        super().__init__()
        self.module = module

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model's forward."""
        return self.module(*args, **kwargs)

    def test_step(self, data: Any) -> Any:
        """Call the model's test_step."""
        return self.module.test_step(data)  # type: ignore[operator]

    def val_step(self, data: Any) -> Any:
        """Call the model's val_step."""
        return self.module.val_step(data)  # type: ignore[operator]


@MODEL_WRAPPERS.register_module()
class AnyDeviceDDP(MMDistributedDataParallel):
    """MMEngine's DistributedDataParallel, on a CPU as well.

    Gradients are averaged over the processes.

    Args:
        module: the model, on its device.
        device_ids: MMEngine gives the number of the GPU; PyTorch refuses it on a CPU, where it is dropped.
        broadcast_buffers: whether process 0 gives its batch-norm statistics to the others before each forward.
        kwargs: of torch's DistributedDataParallel, such as find_unused_parameters.
    """

    def __init__(
        self, module: nn.Module, device_ids: list[int] | None = None, broadcast_buffers: bool = False, **kwargs: Any
    ) -> None:
        on_cpu = next(module.parameters()).device.type == "cpu"
        known = inspect.signature(DistributedDataParallel.__init__).parameters
        new = "forward_sync_buffers"  # what broadcast_buffers is called in newer versions of PyTorch
        kwargs[new if new in known else "broadcast_buffers"] = broadcast_buffers
        super().__init__(module, device_ids=None if on_cpu else device_ids, **kwargs)


def unwrap_model(model: nn.Module) -> nn.Module:
    """Return the model inside a wrapper, or the model itself."""
    inner = getattr(model, "module", None)
    return inner if is_model_wrapper(model) and isinstance(inner, nn.Module) else model
