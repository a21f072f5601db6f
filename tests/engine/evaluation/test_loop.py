"""Evaluations that are killed, stopped or fed damaged files: what was counted stays, and the record is the same."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.dummy_dataset import evaluate, make_world, run_apart

from proxyclip.results.records import extract_metrics, load_records
from proxyclip.utils.paths import ROOT

IMAGES = 24  # the last one takes forever in a process that is to be killed, so none ends too early
LAST = "9.png"  # by name

pytestmark = pytest.mark.usefixtures("own_environment")


@pytest.fixture
def config(tmp_path) -> Path:
    return make_world(tmp_path / "world", IMAGES)


class Apart:
    """eval.py in a process of its own, forked from one that has imported everything."""

    def __init__(self, config: Path, work_dir: Path, *words: str, hold: str = "") -> None:
        words = ("--config", str(config), "--work-dir", str(work_dir), "--device", "cpu", "--workers", "0", *words)
        self.said = config.parent / "stderr"
        slowly = {"DUMMY_HOLD": hold, "DUMMY_SECONDS": "0.02"}
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(
            ["helpers.dummy_dataset", "proxyclip.engine.evaluation.evaluate", "mmseg.models", "mmseg.evaluation"]
        )
        self.process = context.Process(target=run_apart, args=(list(words), self.said, slowly))
        self.process.start()

    def poll(self) -> int | None:
        return self.process.exitcode

    def end(self, number: int) -> tuple[int | None, str]:
        """Send it a signal; its exit code and what it has said."""
        os.kill(self.process.pid, number)
        self.process.join(120)
        return self.poll(), self.said.read_text()


@pytest.fixture(scope="module", autouse=True)
def paths():
    """For the process that others are forked from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'tests'}")
        yield


def saved(work_dir: Path) -> list[Path]:
    return sorted((work_dir / "unfinished").glob("*/*.npz"))


def wait_for(process: subprocess.Popen | Apart, work_dir: Path, files: int) -> None:
    while len(saved(work_dir)) < files:
        assert process.poll() is None, f"it ended with {process.poll()}"
        time.sleep(0.002)


def only_record(work_dir: Path) -> dict:
    (path,) = (work_dir / "records").glob("*.json")
    return json.loads(path.read_text())


def metric_bytes(work_dir: Path) -> bytes:
    """The part of the record that the images decide."""
    return json.dumps(extract_metrics(only_record(work_dir)), sort_keys=True).encode()


def test_killed_at_three_random_moments_the_record_is_the_same(config, tmp_path, capfd):
    assert evaluate(config, tmp_path / "calm") == 0
    work_dir, seed = tmp_path / "killed", random.randrange(1 << 30)
    print(f"seed {seed}")
    draw, before = random.Random(seed), 0
    for _ in range(3):
        process = Apart(config, work_dir, "--save-every", "1", hold=LAST)
        wait_for(process, work_dir, min(before + draw.randint(1, 6), IMAGES - 1))
        time.sleep(draw.uniform(0, 0.02))
        assert process.end(signal.SIGKILL)[0] == -signal.SIGKILL and not (work_dir / "records").exists()
        assert before <= len(saved(work_dir)) < IMAGES
        before = len(saved(work_dir))
    capfd.readouterr()
    assert evaluate(config, work_dir, "--save-every", "1") == 0
    assert f"going on after {before} of {IMAGES} images" in capfd.readouterr().out
    assert metric_bytes(work_dir) == metric_bytes(tmp_path / "calm")
    one, other = only_record(tmp_path / "calm"), only_record(work_dir)
    assert one["metrics_sha256"] == other["metrics_sha256"] and one["identity"] == other["identity"]
    assert one["gallery"] == other["gallery"] and (one["resumed_images"], other["resumed_images"]) == (0, before)
    assert not (work_dir / "unfinished").exists()


def test_sigterm_saves_and_two_processes_go_on(config, tmp_path):
    assert evaluate(config, tmp_path / "calm") == 0
    work_dir = tmp_path / "stopped"
    process = Apart(config, work_dir, "--save-every", "7", hold=LAST)
    wait_for(process, work_dir, 1)
    code, said = process.end(signal.SIGTERM)
    assert code == 130 and "the same command goes on after them" in said and "Traceback" not in said
    words = ["bash", str(ROOT / "dist_test.sh"), str(config), "2", "--work-dir", str(work_dir), "--device", "cpu"]
    environment = os.environ | {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "going on after" in done.stdout, done.stderr
    assert metric_bytes(work_dir) == metric_bytes(tmp_path / "calm") and only_record(work_dir)["processes"] == 2


def test_fresh_starts_anew(config, tmp_path, capfd):
    assert evaluate(config, tmp_path, "--save-every", "5", "--cfg-options", "model.fail=late") == 1
    assert "error: ZeroDivisionError" in (said := capfd.readouterr().err) and "images are scored and saved" in said
    assert saved(tmp_path)
    assert evaluate(config, tmp_path, "--cfg-options", "model.fail=late", "--fresh") == 1
    assert "going on after" not in capfd.readouterr().out


def damage(config: Path, name: str) -> bytes:
    path = config.parent / "data" / "images" / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return whole


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_damaged_image_in_the_middle(config, tmp_path, capfd, workers):
    assert evaluate(config, tmp_path / "calm") == 0
    work_dir, words = tmp_path / "out", ("--no-check", "--workers", workers)
    whole = damage(config, "3.png")
    assert evaluate(config, work_dir, *words) == 1
    said = capfd.readouterr().err
    assert "images/3.png" in said and "--skip-bad" in said and "Traceback" not in said
    assert f"17 of {IMAGES} images are scored and saved" in said  # in the order of names: 0, 1, 10 to 19, 2, 20 to 23
    assert evaluate(config, work_dir, *words, "--skip-bad") == 0
    said = capfd.readouterr()
    assert "going on after 17" in said.out and "left out: " in said.err and "without 1 image" in said.out
    run = only_record(work_dir)
    assert [one["file"] for one in run["left_out"]] == ["3.png"] and "cannot be read" in run["left_out"][0]["why"]
    bad = run["per_image"]["file"].index("3.png")
    assert run["per_image"]["mIoU"][bad] is None and len(run["per_image"]["mIoU"]) == IMAGES
    (config.parent / "data" / "images" / "3.png").write_bytes(whole)
    assert evaluate(config, work_dir) == 0
    assert f"going on after {IMAGES - 1} of {IMAGES}" in capfd.readouterr().out
    runs = load_records(work_dir)
    assert [len(run["left_out"]) for run in runs] == [1, 0] and runs[0]["identity"] != runs[1]["identity"]
    assert runs[1]["metrics"] == only_record(tmp_path / "calm")["metrics"]


def test_a_label_map_of_another_size_can_be_left_out(config, tmp_path, capfd):
    from PIL import Image

    Image.new("L", (9, 9)).save(config.parent / "data" / "labels" / "5.png")
    assert evaluate(config, tmp_path, "--no-check") == 1
    assert "5.png is (9, 9) but the prediction" in capfd.readouterr().err
    assert evaluate(config, tmp_path, "--no-check", "--skip-bad") == 0
    assert [one["file"] for one in only_record(tmp_path)["left_out"]] == ["5.png"]


def test_nothing_but_damaged_images(config, tmp_path, capfd):
    for i in range(IMAGES):
        damage(config, f"{i}.png")
    assert evaluate(config, tmp_path, "--no-check", "--skip-bad") == 1
    assert f"None of {IMAGES} images can be scored; the first: " in capfd.readouterr().err


def test_one_of_two_processes_is_killed(config, tmp_path):
    """The other one ends too, and says why; what both had saved is taken up."""
    words = ["bash", str(ROOT / "dist_test.sh"), str(config), "2", "--work-dir", str(tmp_path), "--device", "cpu"]
    environment = os.environ | {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT / "tests"), "DUMMY_HOLD": LAST}
    process = subprocess.Popen([*words, "--save-every", "1"], env=environment, stderr=subprocess.PIPE, text=True)
    wait_for(process, tmp_path, 3)
    children = subprocess.run(["pgrep", "-f", f"eval.py.*{tmp_path}"], capture_output=True, text=True).stdout.split()
    ranks = [pid for pid in children if rank(pid) is not None]
    assert len(ranks) == 2
    os.kill(int(max(ranks, key=lambda pid: str(rank(pid)))), signal.SIGKILL)
    process.communicate(timeout=120)
    assert process.returncode != 0 and not (tmp_path / "records").exists()
    known = len(saved(tmp_path))
    assert known >= 3 and evaluate(config, tmp_path) == 0 and only_record(tmp_path)["resumed_images"] == known


def rank(pid: str) -> str | None:
    try:
        words = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    except OSError:
        return None
    return next((word.partition("=")[2] for word in words if word.startswith("RANK=")), None)
