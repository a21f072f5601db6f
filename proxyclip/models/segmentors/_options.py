"""Options that several segmentors share."""

from collections.abc import Sequence
from typing import Any


def reject_vfm_and_attention(name: str, options: dict[str, Any]) -> None:
    """Refuse a VFM or an attention, which the segmentor `name` would ignore."""
    if options.get("vfm_model") is not None:
        raise ValueError(f"{name} uses no VFM: set vfm_model=None (--vfm none)")
    if options.get("attention") is not None:
        raise ValueError(f"{name} brings its own attention: set attention=None, but got {options['attention']!r}")


def choose_layers(layers: Sequence[int] | None, ends: tuple[int, int], reference_depth: int, depth: int) -> list[int]:
    """Return the requested layers, counted from 1, or the scaled default.

    The default is the range from first to last of `ends` in a tower of `reference_depth` layers, scaled to `depth`
    layers, rounded to the nearest, from 1 to depth - 1.

    Raises:
        ValueError: a layer that is not from 1 to depth - 1.
    """
    scaled = ((2 * layer * depth + reference_depth) // (2 * reference_depth) for layer in ends)
    first, last = (max(1, min(layer, depth - 1)) for layer in scaled)
    chosen = list(range(first, last + 1) if layers is None else layers)
    if not chosen or not all(isinstance(layer, int) and 1 <= layer < depth for layer in chosen):
        raise ValueError(f"Expected layers from 1 to {depth - 1} of a CLIP with {depth} layers, but got {chosen}")
    return chosen
