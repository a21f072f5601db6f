"""Attention in bfloat16 on a CPU, head by head.

PyTorch's fused attention computes in float32 on CPUs without AMX, whatever the type of its arguments, and explicit
attention over all heads at once leaves the cache. One head at a time does neither (`benchmarks/run.py` has the ratio).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

MIN_HEADWISE_TOKENS = 512  # below it PyTorch's own attention is faster


class _HeadwiseAttention(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        if func is F.scaled_dot_product_attention and len(args) >= 3 and _is_plain_long_attention(*args, **options):
            return compute_headwise_attention(args[0], args[1], args[2], options.get("scale"))
        return func(*args, **options)


def _is_plain_long_attention(
    q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, *rest: Any, **options: Any
) -> bool:
    plain = attn_mask is None and not any(rest) and not any(v for k, v in options.items() if k != "scale")
    return plain and q.ndim == 4 and q.shape == k.shape and min(q.shape[2], k.shape[2]) >= MIN_HEADWISE_TOKENS


def compute_headwise_attention(q: Tensor, k: Tensor, v: Tensor, scale: float | None = None) -> Tensor:
    """Compute softmax(scale q kᵀ) v one head at a time, (B, heads, N, d) each."""
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    out = torch.empty_like(q)
    for image in range(q.shape[0]):
        for head in range(q.shape[1]):
            weights = (q[image, head] * scale) @ k[image, head].mT
            torch.matmul(weights.softmax(-1), v[image, head], out=out[image, head])
    return out


@contextmanager
def use_headwise_attention(tensor: Tensor) -> Iterator[None]:
    """Replace PyTorch's attention if `tensor` is bfloat16 on a CPU without AMX."""
    if tensor.device.type != "cpu" or tensor.dtype != torch.bfloat16 or _has_amx():
        yield
    else:
        with _HeadwiseAttention():
            yield


def _has_amx() -> bool:
    probe = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(probe and probe())
