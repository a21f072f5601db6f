"""Stub of mmcv's operators, version of mmcv 2.2, explained errors; in fresh processes."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from proxyclip.utils.mmcv_compat import explain_dependency_error, has_compiled_ops, prepare_mmseg_import
from proxyclip.utils.paths import ROOT


def run_python(code: str, *folders: Path) -> str:
    """Run code in a new interpreter with folders first on its path; return stdout and stderr."""
    paths = [str(path) for path in (*folders, ROOT)]
    code = f"import sys; sys.path[:0] = {paths!r}\n" + textwrap.dedent(code)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


def write_mmcv(folder: Path, version: str, compiled: bool = False) -> None:
    """Write a package mmcv of that version, and an mmseg that asserts it as the real one does."""
    (folder / "mmcv" / "ops").mkdir(parents=True)
    (folder / "mmcv" / "__init__.py").write_text("from .version import __version__\n")
    (folder / "mmcv" / "version.py").write_text(f"__version__ = '{version}'\n")
    (folder / "mmcv" / "ops" / "__init__.py").write_text("real = True\n")
    if compiled:
        (folder / "mmcv" / "_ext.cpython-0.so").touch()
    (folder / "mmseg").mkdir()
    (folder / "mmseg" / "__init__.py").write_text("import mmcv\nassert mmcv.__version__ < '2.2.0'\nok = True\n")


@pytest.mark.slow
def test_mmseg_is_imported_and_operators_raise():
    out = run_python(
        """
        import proxyclip, mmseg.models, mmseg.datasets
        from mmcv.ops import point_sample
        try:
            point_sample(1)
        except RuntimeError as error:
            print(error)
        """
    )
    assert "mmcv.ops.point_sample needs mmcv built with its compiled operators" in out
    assert "MultiScaleDeformableAttention" not in out


@pytest.mark.parametrize("compiled, operator", [(False, "<class 'mmcv.ops.real'>"), (True, "True")])
def test_operators_are_replaced_without_compiled_code_only(tmp_path, compiled, operator):
    write_mmcv(tmp_path, "2.1.0", compiled)
    out = run_python("import proxyclip, mmcv.ops; print(hasattr(mmcv.ops, '__x__'), mmcv.ops.real)", tmp_path)
    assert out.strip() == f"False {operator}"


@pytest.mark.parametrize("compiled", [False, True])
def test_mmcv_2_2_is_accepted_and_keeps_its_version(tmp_path, compiled):
    write_mmcv(tmp_path, "2.2.0", compiled)
    out = run_python("import proxyclip, mmseg, mmcv; print(mmseg.ok, mmcv.__version__, sys.meta_path)", tmp_path)
    assert out.startswith("True 2.2.0") and "_MMSegFinder" not in out


def test_without_mmcv_nothing_happens(monkeypatch):
    monkeypatch.setattr("proxyclip.utils.mmcv_compat._mmcv_folder", lambda: None)
    monkeypatch.setattr(sys, "meta_path", [])
    prepare_mmseg_import()
    assert sys.meta_path == [] and not has_compiled_ops()


def test_explained_errors():
    assert "same index" in explain_dependency_error(RuntimeError("operator torchvision::nms does not exist"))
    missing = ImportError("libGL.so.1: cannot open shared object file: No such file or directory")
    assert "libgl1" in explain_dependency_error(missing)
    assert explain_dependency_error(ValueError("anything else")) is None
