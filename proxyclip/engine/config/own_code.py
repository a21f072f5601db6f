"""Code of the user that a config brings in: modules outside of this package, and what they import.

Roots are the `custom_imports` of a config, the imports of config files and of plug-in files, and classes that a config
names by their module. From there imports are followed by reading the source, so that what is imported later, in a
function, counts from the start, and what the caller of this package has imported does not. Files are known by the name
of their module, not by where they lie.
"""

import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from proxyclip.engine.config.module_files import (
    ModuleFile,
    find_module_file,
    is_own_file,
    iter_parents,
    iter_submodules,
    list_imports,
    runs_code,
)
from proxyclip.models.registry import is_plugin_file
from proxyclip.utils.hashing import hash_chunks, hash_file, hash_files
from proxyclip.utils.paths import find_existing_path

_ATTRIBUTE = "code_roots"  # of a Config, beside its keys
_PLUGIN_PACKAGE = "proxyclip.models"  # relative imports of a plug-in file lead into this package
_seen: dict[str, tuple[Any, str]] = {}  # label -> module, and hash of its file when it was first seen


@dataclass(frozen=True)
class CodeRoots:
    """Config files that a config is made of, and the modules of their `custom_imports`."""

    files: tuple[Path, ...] = ()
    modules: tuple[str, ...] = ()


class CodeChanged(RuntimeError):
    """Source that has changed since this process imported it."""


def keep_code_roots(cfg: Config, *roots: CodeRoots) -> None:
    """Keep roots with a config, besides those that it has."""
    all_roots = (get_code_roots(cfg), *roots)
    files = dict.fromkeys(path for part in all_roots for path in part.files)
    modules = dict.fromkeys(name for part in all_roots for name in part.modules)
    object.__setattr__(cfg, _ATTRIBUTE, CodeRoots(tuple(files), tuple(modules)))


def get_code_roots(cfg: Config) -> CodeRoots:
    """Return the roots that a config was read with."""
    return vars(cfg).get(_ATTRIBUTE, CodeRoots())


def find_code_roots(cfg: Config) -> CodeRoots:
    """Find the roots of a config just read by MMEngine: its files, and its `custom_imports`."""
    lines = (cfg.text or "").splitlines()  # each file's path stands above its content
    paths = [Path(line) for line in lines if line.endswith(".py") and len(line) < 1000]
    files = [path for path in (Path(cfg.filename), *paths) if path.is_absolute() and path.is_file()]
    imports = (cfg.get("custom_imports") or {}).get("imports") or ()
    return CodeRoots(tuple(dict.fromkeys(files)), (imports,) if isinstance(imports, str) else tuple(imports))


def hash_own_code(cfg: Config) -> dict[str, str]:
    """Hash the files of the user's code that a config brings in.

    Returns:
        SHA-256 by `ModuleFile.label`, sorted; the hash of all its source for an installed package of `custom_imports`.
        Files that the config itself names, such as a plug-in's own, are not among them.
    """
    importlib.invalidate_caches()
    roots = get_code_roots(cfg)
    hashes: dict[str, str] = {}
    names = [*roots.modules, *_iter_named_modules(cfg.to_dict())]
    for path in roots.files:
        names += _read_config_imports(path, hashes)
    for text in iter_texts(cfg.to_dict()):
        if is_plugin_file(text):
            names += _read_plugin_imports(text)
    for module in _follow_imports(names):
        assert module.path is not None
        hashes[module.label] = digest = _hash_source(module.path)
        loaded = sys.modules.get(module.name)
        if loaded is not None and _seen.get(module.label, (None,))[0] is not loaded:
            _seen[module.label] = (loaded, digest)
    hashes |= _hash_installed(roots.modules)
    return dict(sorted(hashes.items()))


def check_code_current(cfg: Config) -> None:
    """Refuse to run code that is not the one on disk, and that the identity would therefore not be of.

    Raises:
        CodeChanged: a module was edited after this process, a notebook say, had imported it.
    """
    stale = [label for label, digest in hash_own_code(cfg).items() if _seen.get(label, (None, digest))[1] != digest]
    if stale:
        raise CodeChanged(
            f"Expected the code that this process imported, but {', '.join(stale)} changed since: start a new process "
            "(in a notebook: restart the kernel)"
        )


def _read_config_imports(path: Path, hashes: dict[str, str]) -> Iterator[str]:
    """Yield what a config file imports; one that runs code is hashed."""
    source = path.read_bytes()
    if not runs_code(source):
        return
    label = path.name
    while hashes.get(label, "") not in ("", hash_chunks([source])):
        label = f"other/{label}"
    hashes[label] = hash_chunks([source])
    for name in list_imports(source, "").names:
        bases = [folder.joinpath(*name.split(".")).with_suffix(".py") for folder in path.parents[:3]]
        base = next((base for base in bases if base.is_file()), None)
        if base is not None and find_module_file(name) is None:  # in a config of MMEngine's newer form
            yield from _read_config_imports(base, hashes)
        else:
            yield name


def _read_plugin_imports(name: str) -> Iterable[str]:
    try:
        path = find_existing_path(name)
        return list_imports(path.read_bytes(), _PLUGIN_PACKAGE).names if path.is_file() else ()
    except OSError:
        return ()


def _follow_imports(names: Iterable[str]) -> Iterator[ModuleFile]:
    """Yield the user's modules among some names, and all that they import, each once."""
    queue = list(names)
    visited: set[str] = set()
    while queue:
        for name in iter_parents(queue.pop()):
            if name in visited:
                continue
            visited.add(name)
            module = find_module_file(name)
            if module is None or (module.path is not None and not is_own_file(module.path)):
                break  # no module, or not the user's: nor is what is inside
            if module.path is None:
                continue
            yield module
            imports = list_imports(_read_source(module.path), name if module.folders else name.rpartition(".")[0])
            queue += imports.names
            if imports.has_unknown or any(star.endswith(".*") for star in imports.names):
                queue += _list_possible_modules(module, imports.names, imports.has_unknown)


def _list_possible_modules(module: ModuleFile, names: Iterable[str], has_unknown: bool) -> Iterator[str]:
    """Yield what `import *`, and imports of names known only as the code runs, may be: the modules of the package."""
    packages = [name[:-2] for name in names if name.endswith(".*")]
    if has_unknown:
        packages.append(module.name if module.folders else module.name.rpartition(".")[0])
    for package in filter(None, packages):
        place = find_module_file(package)
        if place is not None and (place.path is None or is_own_file(place.path)):
            yield from iter_submodules(place)


def _read_source(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.suffix in (".py", ".pyw") else b""
    except OSError:
        return b""


def _hash_source(path: Path) -> str:
    try:
        return hash_file(path)
    except OSError:  # it was deleted just now
        return "unreadable"


def _hash_installed(names: Iterable[str]) -> dict[str, str]:
    """Hash the source of installed packages that `custom_imports` names."""
    hashes = {}
    for top in {name.partition(".")[0] for name in names} - {"proxyclip"}:
        module = find_module_file(top)
        if module is None or module.path is None or is_own_file(module.path):
            continue
        folders = [Path(folder) for folder in module.folders]
        files = {
            path.relative_to(folder).as_posix(): path for folder in folders for path in sorted(folder.rglob("*.py"))
        }
        hashes[f"{top} (installed)"] = hash_files(files or {module.label: module.path})
    return hashes


def _iter_named_modules(value: Any) -> Iterator[str]:
    """Yield the modules of classes that a config holds, or names as `type="module.Class"`."""
    if isinstance(value, Mapping):
        name = value.get("type")
        if isinstance(name, str) and "." in name and "/" not in name and not is_plugin_file(name):
            yield name
        for part in value.values():
            yield from _iter_named_modules(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _iter_named_modules(part)
    elif callable(value) and isinstance(getattr(value, "__module__", None), str):
        yield value.__module__


def iter_texts(value: Any) -> Iterator[str]:
    """Yield all texts in a value of lists and dicts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (Mapping, list, tuple)):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from iter_texts(part)
