"""Files of modules, and the imports in their source; nothing is imported to find either."""

import ast
import importlib
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from proxyclip.utils.paths import ROOT

_THIRD_PARTY_FOLDERS = ("site-packages", "dist-packages")
_STANDARD_FOLDERS = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
_PACKAGE_FOLDER = ROOT / "proxyclip"
_IMPORT_FUNCTIONS = ("import_module", "__import__")


class ModuleFile(NamedTuple):
    """File of a module, None of a namespace package; and the folders of its submodules, none of a plain module."""

    name: str
    path: Path | None
    folders: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """File name by the name of the module, wherever it lies: `pkg/part.py`, `pkg/__init__.py`."""
        assert self.path is not None
        return self.name.replace(".", "/") + ("/__init__" if self.folders else "") + self.path.suffix


class SourceImports(NamedTuple):
    """Names that a source imports, and whether it imports others whose names are known only as it runs."""

    names: frozenset[str]
    has_unknown: bool


def find_module_file(name: str) -> ModuleFile | None:
    """Find the file of a module: of the one in use, else of the one an import would take; None of built-in ones."""
    module = sys.modules.get(name)
    if module is not None and (vars(module).get("__file__") or vars(module).get("__path__")):
        file = vars(module).get("__file__")
        folders = tuple(map(str, vars(module).get("__path__") or ()))
        return ModuleFile(name, _find_container(file) if file else None, folders)
    parent = name.rpartition(".")[0]
    package = find_module_file(parent) if parent else None
    if parent and (package is None or not package.folders):
        return None
    spec = _find_spec(name, package.folders if package else None)
    if spec is None or (not spec.has_location and not spec.submodule_search_locations):
        return None
    path = _find_container(spec.origin) if spec.has_location and spec.origin else None
    return ModuleFile(name, path, tuple(map(str, spec.submodule_search_locations or ())))


def is_own_file(path: Path) -> bool:
    """Return True for a file outside of this package, of the standard library and of site-packages."""
    for form in {path, path.resolve()}:
        if form.is_relative_to(_PACKAGE_FOLDER) or any(part in _THIRD_PARTY_FOLDERS for part in form.parts):
            return False
        if any(form.is_relative_to(folder) for folder in _STANDARD_FOLDERS):
            return False
    return True


def list_imports(source: bytes, package: str) -> SourceImports:
    """List the modules that a source may import, in functions too; a name of a package may be no module.

    Args:
        package: that relative imports start from.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return SourceImports(frozenset(), False)
    names: set[str] = set()
    has_unknown = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _resolve_relative(node.module or "", node.level, package)
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and _name_function(node.func) in _IMPORT_FUNCTIONS:
            target = node.args[0] if node.args else None
            if isinstance(target, ast.Constant) and isinstance(target.value, str):
                relative = target.value.lstrip(".")
                names.add(_resolve_relative(relative, len(target.value) - len(relative), package))
            else:
                has_unknown = True
    return SourceImports(frozenset(names - {""}), has_unknown)


def runs_code(source: bytes) -> bool:
    """Return True if a config does more than set values: it imports, or evaluates text."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError):
        return True
    calls = {_name_function(node.func) for node in nodes if isinstance(node, ast.Call)}
    return bool(calls & {*_IMPORT_FUNCTIONS, "exec", "eval"}) or any(
        isinstance(node, (ast.Import, ast.ImportFrom)) for node in nodes
    )


def iter_submodules(module: ModuleFile) -> Iterator[str]:
    """Yield the names of all modules in the folders of a package, at any depth."""
    for folder in module.folders:
        for path in sorted(Path(folder).rglob("*")):
            parts = path.relative_to(folder).with_suffix("").parts
            if path.suffix == ".py" and all(part.isidentifier() for part in parts):
                yield ".".join((module.name, *(parts[:-1] if parts[-1] == "__init__" else parts)))


def iter_parents(name: str) -> Iterator[str]:
    """Yield a module's name after those of the packages it is in: `a`, `a.b`, `a.b.c`."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        yield ".".join(parts[:count])


def _find_spec(name: str, folders: Sequence[str] | None) -> importlib.machinery.ModuleSpec | None:
    for finder in sys.meta_path:
        with suppress(Exception):  # a finder of somebody else
            spec = finder.find_spec(name, folders)
            if spec is not None:
                return spec
    return None


def _find_container(origin: str) -> Path | None:
    """Return the file of a module, or the archive that it is in."""
    path = Path(origin)
    return next((place for place in (path, *path.parents) if place.is_file()), None)


def _resolve_relative(name: str, level: int, package: str) -> str:
    if not level:
        return name
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - level + 1])
    return f"{base}.{name}" if name and base else base or name


def _name_function(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
