"""Several processes that train one model, on CUDA or on CPUs."""

from __future__ import annotations

import inspect
from typing import Any

from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODEL_WRAPPERS
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@MODEL_WRAPPERS.register_module()
class AnyDeviceDDP(MMDistributedDataParallel):
    """MMEngine's DistributedDataParallel, on a CPU as well. Gradients are averaged over the processes.

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
