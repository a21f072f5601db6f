"""Models without numbers: how big the parts of a model are, and how many products a forward of each takes.

PyTorch's FlopCounterMode counts on fake tensors, which have a shape and no numbers: convolutions and matrix products,
those of attention among them. Norms, activations, softmax and resizing are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict
from typing import Any, NamedTuple

import open_clip
import torch
from open_clip.transform import PreprocessCfg
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ..clip_weights import architecture, check_supported

Shape = tuple[int, int]
SCALES = ("logit_scale", "logit_bias")  # of CLIP's own training


class Piece(NamedTuple):
    """A part of a model: its parameters, and MACs for one window; None where only training has the part."""

    name: str
    weights: Sequence[nn.Parameter]
    macs: int | None


class Sizes(NamedTuple):
    """How a model looks at an image, in `windows` of `window` (h, w), and its parts."""

    windows: int
    window: Shape
    pieces: Iterable[Piece]


def macs_of(forward: Callable[..., Any], *inputs: Any) -> int:
    """Multiplications of a forward, each with its addition: half of PyTorch's count of FLOPs."""
    with FlopCounterMode(display=False) as counter:
        forward(*inputs)
    return counter.get_total_flops() // 2


def clip_of(model_type: str) -> Any:
    """A CLIP of open_clip without weights; call it among fake tensors, where it takes no memory.

    Raises:
        TypeError: a CLIP that this toolkit cannot open.
    """
    config = deepcopy(architecture(model_type))
    check_supported(model_type, config, resnets=True)
    own_text_tower = config.pop("custom_text", False)
    clip = (open_clip.CustomTextCLIP if own_text_tower else open_clip.CLIP)(**config)
    open_clip.set_model_preprocess_cfg(clip, asdict(PreprocessCfg()))
    return clip.eval().requires_grad_(False)


def text_tower(clip: Any) -> Piece:
    """The part of a CLIP that no evaluation runs, which has the text features from the checkpoint."""
    own = [weight for name, weight in clip.named_parameters() if not name.startswith("visual.") and name not in SCALES]
    return Piece("text encoder", own, None)


@contextmanager
def fake() -> Iterator[None]:
    """Tensors without numbers, and attention as products that the counter sees, not as one operation it may not know.

    Not on the device "meta", on which PyTorch has no autocast, not even one that is off.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
