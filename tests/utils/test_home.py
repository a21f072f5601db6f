"""A user id without a home has one for as long as a process runs."""

import os
import subprocess
import sys
from pathlib import Path

from proxyclip.utils.paths import ROOT, get_cache_folder


def run_without_home(code):
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "PROXYCLIP_CACHE")}
    lines = (
        "import pathlib",
        "def fail(*_):",
        "    import os",
        "    if 'HOME' in os.environ: return pathlib.Path(os.environ['HOME'])",
        "    raise RuntimeError('Could not determine home directory.')",
        "pathlib.Path.home = staticmethod(fail)",
        code,
    )
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], env=environment, capture_output=True, text=True, cwd=ROOT
    )


def test_without_a_home_a_temporary_one_is_made_and_removed():
    code = "import os, proxyclip\nprint(os.environ['HOME'], os.path.isdir(os.environ['HOME']))"
    run = run_without_home(code)
    folder, existed = run.stdout.split()
    assert existed == "True"
    assert not Path(folder).exists()
    assert run.stderr.count("\n") == 1 and "Set HOME" in run.stderr


def test_with_a_home_nothing_is_changed():
    home = os.environ.get("HOME")
    code = "import os, proxyclip; print(os.environ.get('HOME'))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (run.stdout.strip(), run.stderr) == (str(home), "")


def test_cache_folder_is_the_variable_or_below_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("PROXYCLIP_CACHE", str(tmp_path / "own"))
    assert get_cache_folder() == tmp_path / "own"
    monkeypatch.setenv("PROXYCLIP_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert get_cache_folder() == tmp_path / ".cache" / "proxyclip"
