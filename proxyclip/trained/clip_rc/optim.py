"""Which parameters have weight decay: a quirk of the published CLIP-RC, and what was meant."""

from __future__ import annotations

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS

from ...runtime import unwrap


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class ParityOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's constructor, with the groups that a model's `parity` asks for.

    "upstream": learning rate and weight decay are the same for all parameters, because the published keys that except
    norms never win. "paper": norms have no weight decay. `paramwise_cfg` of a config says more.
    """

    def __call__(self, model: Any) -> Any:
        """The optimiser wrapper of a model."""
        if unwrap(model).parity == "paper":
            self.paramwise_cfg: dict[str, Any] = {"norm_decay_mult": 0.0, **self.paramwise_cfg}
        return super().__call__(model)
