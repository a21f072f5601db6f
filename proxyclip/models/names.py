"""Values of --clip and --vfm, checked before anything heavy is imported: `check_component_names(clip, vfm)`.

Neither torch, open_clip nor timm is imported: open_clip's names are those of its config files and of its table of
weights, the VFMs' those of the catalog and of the plug-in files. What only a library can tell passes.
"""

import sys
from collections.abc import Iterable

from proxyclip.models.clip.support import (
    format_unknown_clip,
    format_unknown_tag,
    read_open_clip_configs,
    read_open_clip_tags,
    unsupported_clip_reason,
)
from proxyclip.models.registry import is_plugin_file, list_plugins
from proxyclip.models.weights.catalogue import (
    expand_clip_name,
    explain_other_kind,
    format_unknown_weights,
    is_in_catalogue,
    list_weights_entries,
    normalize_clip_name,
)
from proxyclip.utils.paths import ROOT, find_existing_path
from proxyclip.utils.suggest import closest_match


def check_component_names(clip: str | None = None, vfm: str | None = None) -> None:
    """Check the names of a CLIP and a VFM as far as it goes without their libraries.

    Args:
        clip, vfm: values of --clip and --vfm; None for the config's own.

    Raises:
        ValueError: unknown name, tag or size, one of the other kind, or a CLIP that cannot be opened.
        FileNotFoundError: a folder or file that does not exist.
    """
    if clip is not None:
        _check_clip_name(clip)
    if vfm is not None:
        _check_vfm_name(vfm)


def check_weights_names(names: Iterable[str]) -> None:
    """Raise ValueError for a name that is neither a CLIP nor a VFM, as far as it goes without their libraries."""
    for name in (name for name in names if not is_in_catalogue(name)):
        failures = []
        for check in (_check_clip_name, _check_vfm_name):
            try:
                check(name)
            except (OSError, ValueError) as error:
                failures.append(error)
        if len(failures) == 2:
            raise ValueError(format_unknown_weights(name)) from failures[0]


def _check_clip_name(text: str) -> None:
    name, _, weights = expand_clip_name(text).partition(",")
    scheme, colon, place = name.partition(":")
    if colon:
        if scheme == "local-dir":
            find_existing_path(place, "folder of an open_clip model")
        elif scheme != "hf-hub":
            raise ValueError(f"Expected 'hf-hub:<repository>' or 'local-dir:<folder>', but got {name!r}")
        return
    configs = read_open_clip_configs()
    if "open_clip" in sys.modules:  # it may have been given more
        library = sys.modules["open_clip"]
        configs = {known_name: library.get_model_config(known_name) for known_name in library.list_models()}
    if not configs:  # open_clip is laid out in another way
        return
    known = {known_name.lower(): known_name for known_name in configs}
    full_name = known.get(normalize_clip_name(name).lower())
    if full_name is None:
        supported = [known_name for known_name, config in configs.items() if unsupported_clip_reason(config) is None]
        raise ValueError(format_unknown_clip(name, supported))
    reason = unsupported_clip_reason(configs[full_name])
    if reason is not None:
        problem = f"Expected a CLIP with open_clip's own VisionTransformer, but got {full_name!r}: {reason}"
        raise ValueError(f"--clip {text}: {problem}")
    tags = read_open_clip_tags().get(full_name, [])
    if weights and tags and weights.lower().replace("-", "_") not in tags:
        try:
            find_existing_path(weights, "weights file")
        except FileNotFoundError as error:
            raise ValueError(format_unknown_tag(full_name, tags, weights)) from error


def _check_vfm_name(text: str) -> None:
    name, *parts = text.split(",")
    if text == "none":
        return
    if is_plugin_file(name):
        find_existing_path(name, "vfm plug-in")
    else:
        check_vfm_size(name)
    for part in parts:
        if part.startswith("local-dir:"):
            find_existing_path(part.removeprefix("local-dir:"), "folder of a timm model")
        elif part.endswith((".pth", ".pt", ".safetensors", ".bin")):
            find_existing_path(part, "checkpoint")


def check_vfm_size(name: str) -> None:
    """Check the short name of a VFM: a family, or a family with a size.

    Raises:
        ValueError: unknown; the message has the known ones, or says that it is a CLIP.
    """
    families = list_plugins("vfm")
    if name in families:
        return
    other_kind = explain_other_kind(name, "vfm")
    family, dash, _ = name.partition("-")
    if other_kind is not None or family not in families:
        closest = closest_match(family if dash else name, families)
        hint = f": {other_kind}" if other_kind else f". Did you mean {closest!r}?" if closest else ""
        raise ValueError(f"Expected one of {families} for vfm, or a file my/own.py, but got {name!r}{hint}")
    sizes = [
        entry.name for entry in list_weights_entries() if entry.name.startswith(f"{family}-") and entry.kind == "vfm"
    ]
    if sizes and name not in sizes:
        raise ValueError(f"Expected {family} with one of its sizes, but got {name!r}; it has {', '.join(sizes)}")
    if not sizes and _has_no_sizes(family):
        raise ValueError(
            f"Expected {family} with one of its sizes, but got {name!r}; it has no sizes by name: say model=..."
        )


def _has_no_sizes(family: str) -> bool:
    return "variants" not in (ROOT / "proxyclip" / "models" / "vfm" / f"{family}.py").read_text(encoding="utf-8")
