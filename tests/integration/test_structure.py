"""The import rule of docs/architecture.md, and what must import without heavy packages."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from proxyclip.utils.paths import ROOT

# A file imports its own package and those to its left.
PACKAGES = ("utils", "tinyworld", "visualization", "results", "data", "models", "engine", "apis", "cli")
PACKAGE = ROOT / "proxyclip"
FILES = sorted(PACKAGE.rglob("*.py"))
MMLAB = {"mmseg", "mmengine", "mmcv"}
MODELS = {"open_clip", "timm", "segment_anything"}
WITH_MMLAB = (
    "data/", "models/sliding/", "models/segmentors/", "models/trained/", "models/base_segmentor.py",
    "models/preprocessor.py", "engine/", "apis/", "cli/", "utils/mmcv_compat.py"
)  # fmt: skip
WITHOUT_MMLAB = ("data/files/", "data/class_lists/", "data/vocabulary.py", "data/templates.py")


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}


def imported_names(path: Path) -> set[str]:
    """Dotted names of all that a file imports, in functions too, but for type checkers alone."""
    package = path.relative_to(ROOT).parts[:-1]
    names = set()
    nodes = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            nodes += node.orelse
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
        else:
            nodes += ast.iter_child_nodes(node)
    return names


IMPORTS = {path: imported_names(path) for path in FILES}


def test_root_of_package_has_nine_packages():
    entries = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert entries - {"py.typed"} == {*PACKAGES, "__init__.py", "__main__.py"}


@pytest.mark.parametrize("path", [path for path in FILES if path.parent != PACKAGE], ids=relative)
def test_imports_go_left(path):
    own = relative(path).split("/")[0]
    for name in IMPORTS[path]:
        parts = name.split(".")
        if parts[0] == "proxyclip" and len(parts) > 1:
            assert parts[1] in PACKAGES[: PACKAGES.index(own) + 1], f"{relative(path)} imports {name}"
        if parts[0] in MMLAB:
            allowed = relative(path).startswith(WITH_MMLAB) and not relative(path).startswith(WITHOUT_MMLAB)
            assert allowed, f"{relative(path)} imports {name}"
        if name.startswith("proxyclip.models.trained"):
            users = ("models/trained/", "engine/training/", "cli/flops.py")
            assert relative(path).startswith(users), f"{relative(path)} imports {name}"


def test_no_module_imports_itself_through_others():
    graph = {name: {other for other in IMPORTS[path] if other in MODULES} - {name} for name, path in MODULES.items()}
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    for name in graph:  # `from package import module` runs the package's __init__ and uses the module
        graph[name] -= {other for other in packages if name.startswith(f"{other}.")}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"import circle: {' -> '.join(error.args[1])}")


def test_strategies_know_no_vfm_and_vfms_know_no_clip():
    for folder, others in (("attention", ("vfm", "clip")), ("vfm", ("clip", "attention"))):
        forbidden = tuple(f"proxyclip.models.{other}" for other in others)
        for path in {*(PACKAGE / "models" / folder).rglob("*.py")} - {PACKAGE / "models/vfm/clip.py"}:
            assert not [name for name in IMPORTS[path] if name.startswith(forbidden)], path


def run_without(blocked: set[str], code: str) -> None:
    lines = f"import sys\nfor blocked in {sorted(blocked)}: sys.modules[blocked] = None\n"
    subprocess.run([sys.executable, "-c", lines + code], check=True, cwd=ROOT)


@pytest.mark.slow
def test_models_import_without_mmlab():
    names = [
        name
        for name, path in MODULES.items()
        if relative(path).startswith(("utils/", "tinyworld/", "visualization/", "results/", "data/files/", "models/"))
        and not relative(path).startswith(WITH_MMLAB)
    ]
    assert len(names) > 60
    run_without(MMLAB, f"import importlib\nfor name in {names}: importlib.import_module(name)\n")


def test_results_and_scenes_import_without_torch():
    code = "import proxyclip.cli.tables, proxyclip.cli.report, proxyclip.results.report.build, proxyclip.results.tables"
    run_without(MMLAB | MODELS | {"torch"}, code)
    run_without(MMLAB | MODELS | {"torch", "openpyxl"}, "import proxyclip.results.records")
    run_without({"torch"}, "import proxyclip.tinyworld.dataset, proxyclip.tinyworld.scenes")


def test_package_imports_nothing_heavy():
    code = (
        "import sys, proxyclip; assert {'segment', 'Segmenter', 'Segmentation', 'register'} <= {*dir(proxyclip)}; "
        "assert not {'torch', 'mmcv', 'mmseg', 'mmengine', 'numpy'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_no_file_edits_the_search_path():
    for path in [*FILES, *ROOT.glob("*.py")]:
        assert "sys.path" not in path.read_text(encoding="utf-8"), path


def test_folder_datasets_is_no_package():
    assert not (ROOT / "datasets" / "__init__.py").exists()  # Hugging Face's `datasets` must stay importable
