"""dist_test.sh with two processes on the CPU: the same numbers as with one, and its arguments."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.dummy_dataset import make_world

from proxyclip.cli.eval import main
from proxyclip.utils.paths import ROOT


def dist_test(cwd: Path, *words: str, **variables: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT / "tests"), **variables}
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "DATA_ROOT"):
        environment.pop(name, None)
    command = ["bash", str(ROOT / "dist_test.sh"), *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_world(tmp_path_factory.mktemp("world")).parent


def record(work_dir: Path) -> dict:
    (path,) = (work_dir / "records").glob("*.json")
    return json.loads(path.read_text())


def test_two_processes_give_what_one_gives(folder, monkeypatch):
    """Seven images on two processes: the one that is padded in is not counted twice."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert main(["--config", "cfg_dummy.py", "--work-dir", "out", "--device", "cpu"]) == 0
    one = record(folder / "out")
    words = ("--work-dir", "out", "--device", "cpu", "--show-dir", "pictures")
    assert (done := dist_test(folder, "cfg_dummy.py", *words, GPUS="2")).returncode == 0, done.stderr
    two = record(folder / "out")
    assert (one["processes"], two["processes"]) == (1, 2)
    assert one["metrics"] == two["metrics"] and one["per_class"] == two["per_class"]
    assert done.stdout.count("aAcc") == 1 and "Setting" not in done.stderr
    assert len(list((folder / "pictures").iterdir())) == 7 and not (folder / ".dist_test").exists()


def test_an_error_is_one_message(folder):
    done = dist_test(folder, "cfg_dummy.py", "2", "--device", "cpu", "--cfg-options", "model.fail=build")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.count("neither on disk nor to be had") == 1


def test_wrong_words(folder):
    assert dist_test(folder).returncode == 2
    done = dist_test(folder, "cfg_dummy.py", "two")
    assert done.returncode == 2 and "but got 'two'" in done.stderr
