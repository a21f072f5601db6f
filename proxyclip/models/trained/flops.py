"""Parameter and MAC counts of model parts, on fake tensors.

PyTorch's FlopCounterMode counts on fake tensors, which have a shape and no numbers: convolutions and matrix products,
those of attention among them. Norms, activations, softmax and resizing are not counted.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import open_clip
import torch
from open_clip.transform import PreprocessCfg
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from proxyclip.models.clip.loading import check_clip_supported, get_clip_config

ImageShape = tuple[int, int]  # (h, w)
CLIP_SCALE_PARAMETERS = ("logit_scale", "logit_bias")  # used by CLIP's own training alone
PUBLISHED_SIZES_FILE = Path(__file__).with_name("published_sizes.json")


class ModelPart(NamedTuple):
    """Parameters of a part of a model, and its MACs for one window; None where only training has the part."""

    name: str
    weights: Sequence[nn.Parameter]
    macs: int | None


class ModelSizes(NamedTuple):
    """Windows of an evaluation, and the parts of a model."""

    windows: int  # for one image
    window: ImageShape
    model_parts: Iterable[ModelPart]


def count_macs(forward: Callable[..., Any], *inputs: Any) -> int:
    """Count the multiply-accumulates of a forward: half of PyTorch's count of FLOPs."""
    with FlopCounterMode(display=False) as counter:
        forward(*inputs)
    return counter.get_total_flops() // 2


def build_clip_without_weights(model_type: str) -> Any:
    """Build a CLIP of open_clip without weights; under `use_fake_tensors` it takes no memory.

    Raises:
        TypeError: a CLIP that this toolkit cannot open.
    """
    config = deepcopy(get_clip_config(model_type))
    check_clip_supported(model_type, config, resnets=True)
    own_text_tower = config.pop("custom_text", False)
    clip = (open_clip.CustomTextCLIP if own_text_tower else open_clip.CLIP)(**config)
    open_clip.set_model_preprocess_cfg(clip, asdict(PreprocessCfg()))
    return clip.eval().requires_grad_(False)


def get_text_tower_part(clip: Any) -> ModelPart:
    """Return the text tower of a CLIP as a part that evaluations do not run: the checkpoint has the text features."""
    others = ("visual.", *CLIP_SCALE_PARAMETERS)
    return ModelPart("text encoder", [w for name, w in clip.named_parameters() if not name.startswith(others)], None)


@contextmanager
def use_fake_tensors() -> Iterator[None]:
    """Create tensors without data in the block, and run attention as plain products, which the counter knows.

    The device "meta" is no alternative: PyTorch has no autocast on it, not even a disabled one.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
