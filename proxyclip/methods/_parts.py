"""Pieces that several segmentors use: which options they refuse, and which layers they look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def refuse_unused(name: str, options: dict[str, Any]) -> None:
    """Refuse a VFM or an attention, which the segmentor `name` would ignore."""
    if options.get("vfm_model") is not None:
        raise ValueError(f"{name} uses no VFM: set vfm_model=None (--vfm none)")
    if options.get("attention") is not None:
        raise ValueError(f"{name} brings its own attention: set attention=None, but got {options['attention']!r}")


def choose_layers(given: Sequence[int] | None, ends: tuple[int, int], of: int, depth: int) -> list[int]:
    """The given layers, counted from 1, or a default: those from first to last of a tower of `of` layers.

    The default is scaled to `depth` layers, rounded to the nearest, from 1 to depth - 1.

    Raises:
        ValueError: a layer that is not from 1 to depth - 1.
    """
    first, last = (max(1, min((2 * layer * depth + of) // (2 * of), depth - 1)) for layer in ends)
    layers = list(range(first, last + 1) if given is None else given)
    if not layers or not all(isinstance(layer, int) and 1 <= layer < depth for layer in layers):
        raise ValueError(f"Expected layers from 1 to {depth - 1} of a CLIP with {depth} layers, but got {layers}")
    return layers
