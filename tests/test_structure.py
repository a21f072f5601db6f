"""The house keeps its rules: imports go only downwards, documents tell the truth."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "proxyclip"
MMLAB = {"mmseg", "mmengine", "mmcv"}
MODELS = {"open_clip", "timm", "segment_anything"}
# What the lowest rooms may use besides the standard library.
BOTTOM = {"psutil", "torch", "safetensors", "prompts"}
LOW = (
    "attention/",
    "refine/",
    "windows.py",
    "approximate.py",
    "batching.py",
    "vocabulary.py",
    "postprocess.py",
    "clip_prompts.py",
    "precision.py",
    "hashing.py",
    "suggest.py",
    "system.py",
    "plugins.py",
    "positions.py",
    "formats.py",
    "paths.py",
    "atomic.py",
    "version.py",
    "weights/__init__.py",
    "weights/reading.py",
)
MIDDLE = ("clip.py", "clip_text.py", "clip_weights.py", "vfm/", "tinyworld/", "disk/", "weights/")


def room(path: Path) -> str:
    name = path.relative_to(PACKAGE).as_posix()
    if name.startswith(LOW):
        return "low"
    return "middle" if name.startswith(MIDDLE) else "high"


def imports(path: Path) -> set[str]:
    """Absolute dotted names of everything a file imports, relative imports resolved."""
    found = set()
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def modules() -> dict[str, Path]:
    return {p.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."): p for p in PACKAGE.rglob("*.py")}


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_go_only_downwards(path):
    rank = {"low": 0, "middle": 1, "high": 2}
    here, known = room(path), modules()
    for name in imports(path):
        top = name.split(".")[0]
        if here != "high":
            assert top not in MMLAB, f"{path.name} imports {name}"
        if here == "low":
            assert top not in MODELS, f"{path.name} imports {name}"
            assert top in BOTTOM | {"proxyclip"} or top in sys.stdlib_module_names, f"{path.name} imports {name}"
        if name in known and name != "proxyclip":
            assert rank[room(known[name])] <= rank[here], f"{path.name} imports {name} from a higher room"
        assert not name.startswith("proxyclip.engine.training") or {"trained", "cli"} & {*path.parts}, (
            f"{path.name} imports {name}"
        )


def test_strategies_know_no_vfm_and_vfms_know_no_clip():
    for path in (PACKAGE / "attention").glob("*.py"):
        assert not [
            n for n in imports(path) if n.startswith(("proxyclip.models.vfm", "proxyclip.models.clip.dense"))
        ], path
    for path in (PACKAGE / "vfm").glob("*.py"):
        assert not [
            n for n in imports(path) if n.startswith(("proxyclip.models.clip.dense", "proxyclip.models.attention"))
        ], path


def test_low_and_middle_rooms_run_without_mmlab():
    names = [n for n, p in modules().items() if room(p) != "high" and not n.endswith("__init__")]
    code = (
        "import sys, importlib\n"
        f"for blocked in {sorted(MMLAB)}: sys.modules[blocked] = None\n"
        f"for name in {names}: importlib.import_module(name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_no_vendored_models():
    for folder in ("open_clip", "segment_anything", "mae", "clip"):
        assert not (ROOT / folder).exists()
        assert not (PACKAGE / folder).exists()


def test_the_datasets_folder_is_no_package():
    assert not (ROOT / "datasets" / "__init__.py").exists()


def test_no_path_tricks():
    for path in [*FILES, *ROOT.glob("*.py")]:
        assert "sys.path" not in path.read_text(), path


def test_nothing_heavy_on_import():
    code = (
        "import sys, proxyclip; assert {'segment', 'Segmenter', '__version__'} <= {*dir(proxyclip)}; "
        "assert 'torch' not in sys.modules and 'mmseg' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_results_are_looked_at_without_models():
    """A work dir can be read where neither PyTorch nor MMSegmentation is installed."""
    code = (
        "import sys\n"
        f"for blocked in {sorted(MMLAB | MODELS | {'torch'})}: sys.modules[blocked] = None\n"
        "import proxyclip.results, proxyclip.results.report, proxyclip.cli.tables, proxyclip.cli.report\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
