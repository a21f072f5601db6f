"""Model wrappers for several processes: frozen and trained models."""

import inspect
from typing import Any

from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.registry import MODEL_WRAPPERS
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@MODEL_WRAPPERS.register_module()
class EvalOnly(nn.Module):
    """Hold a frozen model in a distributed evaluation; nothing is synchronized.

    DistributedDataParallel refuses a model without trainable parameters. Options of other wrappers have no effect.
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


@MODEL_WRAPPERS.register_module()
class AnyDeviceDDP(MMDistributedDataParallel):
    """MMEngine's DistributedDataParallel, on a CPU as well.

    Gradients are averaged over the processes.

    Args:
        module: the model, on its device.
        device_ids: number of the GPU, by MMEngine; dropped on a CPU, where PyTorch refuses it.
        broadcast_buffers: copy the batch-norm statistics of process 0 to the others before each forward.
        kwargs: of torch's DistributedDataParallel, such as find_unused_parameters.
    """

    def __init__(
        self, module: nn.Module, device_ids: list[int] | None = None, broadcast_buffers: bool = False, **kwargs: Any
    ) -> None:
        on_cpu = next(module.parameters()).device.type == "cpu"
        known = inspect.signature(DistributedDataParallel.__init__).parameters
        new = "forward_sync_buffers"  # name of broadcast_buffers in newer versions of PyTorch
        kwargs[new if new in known else "broadcast_buffers"] = broadcast_buffers
        super().__init__(module, device_ids=None if on_cpu else device_ids, **kwargs)


def unwrap_model(model: nn.Module) -> nn.Module:
    """Return the model inside a wrapper, or the model itself."""
    inner = getattr(model, "module", None)
    return inner if is_model_wrapper(model) and isinstance(inner, nn.Module) else model
