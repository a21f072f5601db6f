"""Find the configs of a published protocol, or of a folder."""

from pathlib import Path

from proxyclip.results.published_table import rank_dataset
from proxyclip.utils.paths import ROOT
from proxyclip.utils.suggest import closest_match

TOP_LEVEL_PROTOCOL = "proxyclip"  # that of the configs/cfg_*.py themselves
NO_BENCHMARKS = ("folder", "tinyworld")


def list_protocols() -> list[str]:
    """List the protocols: proxyclip, and the folders of configs/ with a protocol.py."""
    return sorted([TOP_LEVEL_PROTOCOL, *(path.parent.name for path in (ROOT / "configs").glob("*/protocol.py"))])


def list_protocol_configs(name: str) -> list[str]:
    """List the configs of a protocol, in the order of the papers' columns.

    Raises:
        ValueError: there is no such protocol; the message has the closest name.
    """
    names = list_protocols()
    if name not in names:
        closest = closest_match(name, names, 0.5)
        hint = f". Did you mean {closest}?" if closest else ""
        raise ValueError(f"there is no protocol {name!r}: expected one of {', '.join(names)}{hint}")
    paths = list_folder_configs("configs" if name == TOP_LEVEL_PROTOCOL else f"configs/{name}")
    configs = {Path(path).stem.removeprefix("cfg_"): path for path in paths}
    return [configs[dataset] for dataset in sorted(configs, key=rank_dataset) if dataset not in NO_BENCHMARKS]


def list_folder_configs(folder: str) -> list[str]:
    """List the cfg_*.py of a folder, sorted by name.

    The folder is looked for in the current one, else in the repository. Of any other name, such as that of a file, the
    list is the name alone.

    Raises:
        ValueError: a folder without configs.
    """
    place = next((place for place in (Path(folder), ROOT / folder) if place.is_dir()), None)
    if place is None:
        return [folder]
    paths = [(Path(folder) / path.name).as_posix() for path in sorted(place.glob("cfg_*.py"))]
    if not paths:
        raise ValueError(f"expected a folder with configs, but there is no cfg_*.py in {folder}")
    return paths
