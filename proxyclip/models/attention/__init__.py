"""Attention strategies of CLIP's last block, one paper a file.

The file name, or a path ending in .py, is the name of a strategy in a config. The contract, all of it:

    strategy(block, x, grid, guide) -> (tokens, grid)
        block   CLIP's last residual attention block
        x       its input (B, 1 + h*w, C), class token first
        grid    (h, w) of x
        guide   VFM features (B, D, H, W), or None
        tokens  patches only (B, H*W, C), on the returned grid

A strategy is a frozen dataclass with `__call__`: its fields are its hyper-parameters, its repr is in the result record.
`guided` tells if it needs a VFM: True, False, or None for one that works with and without. Methods that look at other
layers or other windows are segmentors (`proxyclip.models.segmentors`).
"""

from typing import Any

from proxyclip.models.registry import build_plugin


def build_strategy(spec: str | dict[str, Any] | None, guided: bool, **defaults: Any) -> Any:
    """Build the strategy of a config.

    Args:
        spec: name, `dict(type=name, **options)`, or None: proxy with a VFM, vanilla without.
        guided: there is a VFM.
        defaults: options used where the strategy has them and `spec` leaves them out.

    Raises:
        ValueError: unknown name, or a strategy that needs a VFM without one, or the other way round.
    """
    strategy = build_plugin("attention", spec or ("proxy" if guided else "vanilla"), **defaults)
    if strategy.guided not in (None, guided):
        problem = "uses no VFM: set vfm_model=None" if guided else "needs a VFM, but vfm_model is None"
        raise ValueError(f"Attention {type(strategy).__name__} {problem}")
    return strategy
