"""dist_test.sh with two processes on the CPU: the numbers of one process, and its arguments."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.dummy_dataset import evaluate, make_world

from proxyclip.results.records import load_records
from proxyclip.utils.paths import ROOT


def run_script(cwd: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT / "tests"), **variables}
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "DATA_ROOT"):
        environment.pop(name, None)
    command = ["bash", str(ROOT / "dist_test.sh"), *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_world(tmp_path_factory.mktemp("world")).parent


@pytest.mark.slow
@pytest.mark.usefixtures("own_environment")
def test_two_processes_score_seven_images_as_one_does(folder):
    """The image that is padded in for the second process does not count twice."""
    assert evaluate(folder / "cfg_dummy.py", folder / "out") == 0
    (single,) = load_records(folder / "out")
    arguments = ("--work-dir", "out", "--device", "cpu", "--show-dir", "pictures")
    result = run_script(folder, "cfg_dummy.py", *arguments, GPUS="2")
    assert result.returncode == 0, result.stderr
    (pair,) = load_records(folder / "out")
    assert (single["processes"], pair["processes"]) == (1, 2)
    assert single["metrics"] == pair["metrics"] and single["per_class"] == pair["per_class"]
    assert result.stdout.count("aAcc") == 1 and "Setting" not in result.stderr
    assert len(list((folder / "pictures").iterdir())) == 7 and not (folder / ".dist_test").exists()


@pytest.mark.slow
def test_error_of_two_processes_is_printed_once(folder):
    result = run_script(folder, "cfg_dummy.py", "2", "--device", "cpu", "--cfg-options", "model.fail=build")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert result.stderr.count("neither on disk nor to be had") == 1


def test_wrong_arguments_of_the_script_end_with_code_2(folder):
    assert run_script(folder).returncode == 2
    result = run_script(folder, "cfg_dummy.py", "two")
    assert result.returncode == 2 and "but got 'two'" in result.stderr
