"""NACLIP: Gaussian window and attention, windows, slides with and without padding, PAMR, a whole image."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from proxyclip.engine.parity.case_maker import CaseMaker
from proxyclip.engine.parity.cases import Tolerance
from proxyclip.models.layers.block import compute_attention_logits, compute_qkv
from proxyclip.models.segmentors.proxyclip import ProxyCLIPSegmentation

PAMR_STEP = dict(type="pamr", steps=10, dilations=(8, 16))
UNPADDED: dict[str, Any] = dict(pad_multiple=1, upsample_to_input=True)  # NACLIP's own handling of windows


def compute_naclip_attention(model: Any, image: Tensor) -> dict[str, Tensor]:
    """Compute the Gaussian window (1+N, 1+N), and the last block's attention (heads, 1+N, 1+N)."""
    x, grid = model.clip.tokens(image)
    _, k, _ = compute_qkv(model.clip.last, x)
    window = F.pad(model.attention.window(grid, grid, image.device), (1, 0, 1, 0))
    return {"window": window, "last_attn": (compute_attention_logits(k, k) + window).softmax(-1)[0]}


_make = CaseMaker("naclip", ProxyCLIPSegmentation, dict(attention="naclip"))
_attention_stages = {"window": Tolerance(1e-6), "last_attn": Tolerance(1e-5)}

CASES = (
    _make.window("smooth64", "smooth64", more=compute_naclip_attention, stages=_attention_stages),
    _make.window("smooth112", "smooth112"),
    _make.window("nonsquare96x144", "smooth336x500[100:196,150:294]"),
    _make.window("smooth112_std2", "smooth112", attention=dict(type="naclip", sigma=2.0)),
    _make.image("slide96x144", "smooth96x144", 0.0, 0.4),
    _make.image("slide96x144_pamr10", "smooth96x144", 0.0, refine=[PAMR_STEP]),
    _make.image("whole336x500_NOPAD", "smooth336x500", 0.0, classes="plain5", **UNPADDED),
    _make.image("slide112_c56_NOPAD", "smooth112", 0.0, classes="plain5", **UNPADDED),
)
