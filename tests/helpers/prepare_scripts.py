"""Fixtures that run the scripts of datasets/ in the process of a test; a conftest.py imports them."""

import importlib

import pytest

from proxyclip.utils.paths import ROOT


@pytest.fixture
def script(monkeypatch):
    """script(name) is the module of datasets/<name>.py."""
    monkeypatch.syspath_prepend(ROOT / "datasets")
    return importlib.import_module


@pytest.fixture
def run(script, capsys):
    """run(name, *arguments) is (exit code, stdout, stderr) of a script, run in this process."""

    def go(name, *arguments):
        code = script(name).main([*map(str, arguments), "--workers", "1"])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return go


@pytest.fixture
def output(run):
    """output(name, *arguments) is the stdout of a script; with `code`, the stderr of one that exits with it."""

    def go(name, *arguments, code=0):
        result, out, err = run(name, *arguments)
        assert (result, not err) == (code, code == 0)
        return err if code else out

    return go
