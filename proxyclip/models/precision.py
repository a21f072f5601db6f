"""Number formats of image towers."""

from collections.abc import Mapping
from typing import Any

import torch

from proxyclip.utils.system import has_cpu_flag

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def pick_dtype(precision: str, device: torch.device | str) -> torch.dtype:
    """Choose the dtype of the image towers on a device.

    `auto` is fp16 on CUDA, bf16 on a CPU that computes in it (AVX512-BF16, AMX or Arm's BF16), else fp32.

    Raises:
        ValueError: an unknown name, or fp16 on a CPU.
    """
    cuda = torch.device(device).type == "cuda"
    if precision == "auto":
        precision = "fp16" if cuda else "bf16" if cpu_has_bf16() else "fp32"
    if precision not in PRECISIONS:
        raise ValueError(f"Expected `precision` to be one of auto, {', '.join(PRECISIONS)}, but got {precision!r}")
    if precision == "fp16" and not cuda:
        raise ValueError("precision='fp16' needs a CUDA device: a CPU has no fast fp16. Choose auto, bf16 or fp32.")
    return PRECISIONS[precision]


def pick_model_dtype(model_cfg: Mapping[str, Any], device: torch.device | str) -> torch.dtype:
    """Choose the dtype of the image towers of a model config, by default `auto`."""
    return pick_dtype(model_cfg.get("precision", "auto"), device)


def format_dtype(dtype: torch.dtype) -> str:
    """Return the name of a dtype in `PRECISIONS`, or torch's own."""
    return next((name for name, known in PRECISIONS.items() if known is dtype), str(dtype))


def cpu_has_bf16() -> bool:
    """Return True if this CPU is known to multiply bfloat16 in hardware."""
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        try:
            if getattr(torch.cpu, probe)():
                return True
        except (AttributeError, RuntimeError):
            continue
    return has_cpu_flag("avx512_bf16", "amx_bf16", "bf16")
