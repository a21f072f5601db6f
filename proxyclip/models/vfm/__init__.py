"""Vision foundation models as guides, one model family a file.

The file name, or a path ending in .py, is the name of a family in a config. The contract, all of it:

    a frozen nn.Module with .patch (pixels a side); forward(image) -> features
        image     RGB in [0, 1] (B, 3, H, W), sides multiples of .patch
        features  (B, D, h, w)

The constructor takes `model` (a member of the family) and `checkpoint` (a local weights file), and never leaves random
weights. Each family has its own normalization and input size. A class attribute `variants` maps short names of its
sizes to values of `model`: `dino-s16` is a name. A family that uses the segmentor's own CLIP takes it as `clip`.
"""

from typing import Any

from proxyclip.models.registry import build_plugin, is_plugin_file, list_plugins, load_plugin_class
from proxyclip.models.weights.catalogue import explain_other_kind


def build_vfm(spec: str | dict[str, Any] | None, **defaults: Any) -> Any:
    """Build the VFM of a config; None stays None.

    Args:
        spec: `family`, `family-size`, or `dict(type=either, **options)`.
        defaults: options used where the family has them and `spec` leaves them out.

    Raises:
        ValueError: unknown family or size; the message lists the known ones. TypeError: unknown option.
    """
    return None if spec is None else build_plugin("vfm", resolve_vfm_spec(spec), **defaults)


def resolve_vfm_spec(spec: str | dict[str, Any]) -> dict[str, Any]:
    """Replace the short names of a spec: `dict(type=family, model=..., ...)`."""
    options = {"type": spec} if isinstance(spec, str) else dict(spec)
    family, dash, size = str(options.get("type")).partition("-")
    if not dash or is_plugin_file(options["type"]) or options["type"] in list_plugins("vfm"):
        return options
    other_kind = explain_other_kind(options["type"], "vfm") if isinstance(options["type"], str) else None
    if other_kind:
        raise ValueError(f"Expected a VFM, but got {options['type']!r}: {other_kind}")
    variants = getattr(load_plugin_class("vfm", family), "variants", {})
    if size not in variants:
        sizes = ", ".join(f"{family}-{name}" for name in variants) or "no sizes by name: say model=..."
        raise ValueError(f"Expected {family} with one of its sizes, but got {options['type']!r}; it has {sizes}")
    return {**options, "type": family, "model": variants[size]}
