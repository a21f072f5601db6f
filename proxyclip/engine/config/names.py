"""Names on a command line: configs, methods, components. Nothing heavy is imported.

`check_names` answers a mistyped one before PyTorch is loaded, which takes seconds.
"""

from pathlib import Path
from typing import Any

from proxyclip.models.names import check_component_names
from proxyclip.models.refine import parse_step
from proxyclip.models.registry import is_plugin_file, list_plugins
from proxyclip.utils.paths import ROOT, find_existing_path, path_exists
from proxyclip.utils.suggest import closest_match, did_you_mean


class ConfigNotFound(FileNotFoundError):
    """Config or method of the command line that does not exist."""

    exit_code = 2  # of the command, as for a wrong argument


def find_config(name: str) -> Path:
    """Find the config file `name` in the current folder, else in the repository."""
    for path in (Path(name), ROOT / name):
        if path_exists(path) and path.is_file():
            return path.resolve()
    known = _known_configs()
    shown = [path for path in known if path.count("/") == 1]
    omitted = f" and {len(known) - len(shown)} in folders below configs" if len(known) > len(shown) else ""
    suggestion = did_you_mean(name.replace("\\", "/"), known, 1, 0.5)
    hint = suggestion or f"known are {', '.join(shown) or 'none'}{omitted}"
    raise ConfigNotFound(f"There is no config {name!r}: {hint}")


def _known_configs() -> list[str]:
    patterns = ("cfg_*.py", "*/cfg_*.py", "method/*.py", "trained/**/*.py")
    paths = [path.relative_to(ROOT) for pattern in patterns for path in (ROOT / "configs").glob(pattern)]
    return sorted(path.as_posix() for path in paths if not any(part.startswith("_") for part in path.parts))


def list_methods() -> list[str]:
    """List the names of all methods: the files of configs/method."""
    return sorted(path.stem for path in (ROOT / "configs" / "method").glob("*.py"))


def find_method_file(name: str) -> Path:
    """Find the file of a method: a name of configs/method, or the path of a .py file."""
    if is_plugin_file(name):
        return find_config(name)
    names = list_methods()
    if name in names:
        return ROOT / "configs" / "method" / f"{name}.py"
    closest = closest_match(name, names)
    hint = f" Did you mean {closest}?" if closest else ""
    raise ConfigNotFound(f"There is no method {name!r}: expected one of {', '.join(names)}, or my/own.py.{hint}")


def check_names(options: Any) -> None:
    """Check the names in the options of a command, as far as files and lists tell.

    Args:
        options: with any of the fields config, configs, method, methods, vfm, vfms, clip, clips, refine, checkpoint and
            load_from.

    Raises:
        ConfigNotFound, FileNotFoundError, ValueError: there is no such thing; the message has the closest names.
    """
    for config in _values(options, "config", "configs"):
        if not any(path_exists(path) and path.is_dir() for path in (Path(config), ROOT / config)):
            find_config(config)
    for method in _values(options, "method", "methods"):
        if method != "all":
            find_method_file(method)
    for step in (parse_step(spec)["type"] for spec in _values(options, "refine")):
        names = list_plugins("refine")
        if step != "none" and not is_plugin_file(step) and step not in names:
            hint = did_you_mean(step, names)
            raise ValueError(f"Expected --refine to be {', '.join(names)} or my/own.py, but got {step!r}: {hint}")
    for clip in _values(options, "clip", "clips"):
        check_component_names(clip=clip)
    for vfm in _values(options, "vfm", "vfms"):
        check_component_names(vfm=vfm)
    for flag in ("checkpoint", "load_from"):
        for file in _values(options, flag):
            find_existing_path(file, "checkpoint")


def _values(options: Any, *fields: str) -> list[str]:
    """Values of fields that an option class may have: text, or a tuple of it."""
    values: list[str] = []
    for field in fields:
        value = getattr(options, field, None)
        values += [value] if isinstance(value, str) else [item for item in value or () if item]
    return values
