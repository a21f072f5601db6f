"""Evaluations that are killed, stopped or read damaged files: counts are kept, and the record is the same."""

import multiprocessing
import os
import random
import signal
import socket
import time
from pathlib import Path

import pytest
from helpers.dummy_dataset import evaluate, make_world, run_eval
from PIL import Image

from proxyclip.results.records import extract_metrics, load_records
from proxyclip.utils.paths import ROOT

IMAGES = 12
LAST = "9.png"  # by name; takes forever in a process that is to be killed, so that none ends too early
PRELOADED = ["helpers.dummy_dataset", "proxyclip.engine.evaluation.evaluate", "mmseg.models", "mmseg.evaluation"]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_environment")]


@pytest.fixture
def config(tmp_path) -> Path:
    return make_world(tmp_path / "world", IMAGES)


@pytest.fixture(scope="module", autouse=True)
def fork_server():
    """Process that imports everything once; `EvalProcess` is forked from it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'tests'}")
        multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
        yield


class EvalProcess:
    """eval.py in a process of its own, with environment variables; its stderr is in a file."""

    def __init__(self, config: Path, work_dir: Path, *arguments: str, **variables: str) -> None:
        argv = ["--config", str(config), "--work-dir", str(work_dir), "--device", "cpu", "--workers", "0", *arguments]
        self.stderr = config.parent / f"stderr-{variables.get('RANK', '0')}"
        context = multiprocessing.get_context("forkserver")
        self.process = context.Process(target=run_eval, args=(argv, self.stderr, variables))
        self.process.start()

    def wait(self) -> tuple[int | None, str]:
        """Return exit code and stderr, once it has ended."""
        self.process.join(120)
        return self.process.exitcode, self.stderr.read_text()


def start_pair(config: Path, work_dir: Path, *arguments: str, **variables: str) -> list[EvalProcess]:
    """Start one evaluation in two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    variables |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        EvalProcess(config, work_dir, "--launcher", "pytorch", *arguments, RANK=rank, LOCAL_RANK=rank, **variables)
        for rank in "01"
    ]


def list_saved(work_dir: Path) -> list[Path]:
    return sorted((work_dir / "unfinished").glob("*/*.npz"))


def wait_for_files(run: EvalProcess, work_dir: Path, count: int) -> None:
    while len(list_saved(work_dir)) < count:
        assert run.process.exitcode is None, f"it ended with {run.process.exitcode}"
        time.sleep(0.002)


@pytest.mark.slow
def test_run_killed_at_three_random_moments_has_the_same_record(config, tmp_path, capfd):
    assert evaluate(config, tmp_path / "calm") == 0
    work_dir = tmp_path / "killed"
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    draw = random.Random(seed)
    before = 0
    for _ in range(3):
        run = EvalProcess(config, work_dir, "--save-every", "1", DUMMY_HOLD=LAST, DUMMY_SECONDS="0.02")
        wait_for_files(run, work_dir, before + draw.randint(1, 3))
        time.sleep(draw.uniform(0, 0.02))
        run.process.kill()
        assert run.wait()[0] == -signal.SIGKILL and not (work_dir / "records").exists()
        assert before <= len(list_saved(work_dir)) < IMAGES
        before = len(list_saved(work_dir))
    capfd.readouterr()
    assert evaluate(config, work_dir, "--save-every", "1") == 0
    assert f"going on after {before} of {IMAGES} images" in capfd.readouterr().out
    calm, resumed = load_records(tmp_path / "calm")[0], load_records(work_dir)[0]
    assert extract_metrics(calm) == extract_metrics(resumed)
    assert {name for name in calm if calm[name] != resumed[name]} <= {
        "resumed_images", "options", "start", "end", "times", "images_per_second", "peak_memory_mib", "command",
        "config", "config_sha256", "record_sha256",  # with the work dir
    }  # fmt: skip
    assert (calm["resumed_images"], resumed["resumed_images"]) == (0, before)
    assert not (work_dir / "unfinished").exists()


@pytest.mark.slow
def test_sigterm_saves_counts_and_two_processes_resume(config, tmp_path):
    assert evaluate(config, tmp_path / "calm") == 0
    work_dir = tmp_path / "stopped"
    run = EvalProcess(config, work_dir, "--save-every", "4", DUMMY_HOLD=LAST, DUMMY_SECONDS="0.02")
    wait_for_files(run, work_dir, 1)
    run.process.terminate()
    code, stderr = run.wait()
    assert code == 130 and "the same command goes on after them" in stderr and "Traceback" not in stderr
    assert [process.wait()[0] for process in start_pair(config, work_dir)] == [0, 0]
    (record,) = load_records(work_dir)
    assert record["processes"] == 2 and 4 <= record["resumed_images"] < IMAGES
    assert extract_metrics(record) == extract_metrics(load_records(tmp_path / "calm")[0])


@pytest.mark.slow
def test_killed_process_ends_the_other_and_counts_of_both_are_resumed(config, tmp_path):
    first, second = start_pair(config, tmp_path, "--save-every", "1", DUMMY_HOLD=LAST)  # an image of the second
    wait_for_files(first, tmp_path, IMAGES - 1)
    second.process.kill()
    code, stderr = first.wait()
    assert code == 1 and "another process of this run ended early" in stderr and "Traceback" not in stderr
    assert not (tmp_path / "records").exists()
    assert evaluate(config, tmp_path) == 0 and load_records(tmp_path)[0]["resumed_images"] == IMAGES - 1


def test_fresh_ignores_saved_counts(config, tmp_path, capfd):
    assert evaluate(config, tmp_path, "--save-every", "3", "--cfg-options", "model.fail=late") == 1
    stderr = capfd.readouterr().err
    assert "error: ZeroDivisionError" in stderr and "images are scored and saved" in stderr and list_saved(tmp_path)
    assert evaluate(config, tmp_path, "--cfg-options", "model.fail=late", "--fresh") == 1
    assert "going on after" not in capfd.readouterr().out


def damage_image(config: Path, name: str) -> bytes:
    """Cut an image file in half, and return its former content."""
    path = config.parent / "data" / "images" / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return content


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_damaged_image_is_named_skipped_and_scored_once_repaired(config, tmp_path, capfd, workers):
    assert evaluate(config, tmp_path / "calm") == 0
    work_dir = tmp_path / "out"
    arguments = ("--no-check", "--workers", workers)
    content = damage_image(config, "3.png")
    assert evaluate(config, work_dir, *arguments) == 1
    stderr = capfd.readouterr().err
    assert "images/3.png" in stderr and "--skip-bad" in stderr and "Traceback" not in stderr
    assert f"5 of {IMAGES} images are scored and saved" in stderr  # in the order of names: 0, 1, 10, 11, 2
    assert evaluate(config, work_dir, *arguments, "--skip-bad") == 0
    output = capfd.readouterr()
    assert "going on after 5" in output.out and "left out: " in output.err and "without 1 image" in output.out
    (run,) = load_records(work_dir)
    assert [image["file"] for image in run["left_out"]] == ["3.png"] and "cannot be read" in run["left_out"][0]["why"]
    assert run["per_image"]["mIoU"][run["per_image"]["file"].index("3.png")] is None
    assert len(run["per_image"]["mIoU"]) == IMAGES
    (config.parent / "data" / "images" / "3.png").write_bytes(content)
    assert evaluate(config, work_dir) == 0
    assert f"going on after {IMAGES - 1} of {IMAGES}" in capfd.readouterr().out
    runs = load_records(work_dir)
    assert [len(run["left_out"]) for run in runs] == [1, 0] and runs[0]["identity"] != runs[1]["identity"]
    assert runs[1]["metrics"] == load_records(tmp_path / "calm")[0]["metrics"]


def test_label_map_of_another_size_can_be_skipped(config, tmp_path, capfd):
    Image.new("L", (9, 9)).save(config.parent / "data" / "labels" / "5.png")
    assert evaluate(config, tmp_path, "--no-check") == 1
    assert "5.png is (9, 9) but the prediction" in capfd.readouterr().err
    assert evaluate(config, tmp_path, "--no-check", "--skip-bad") == 0
    assert [image["file"] for image in load_records(tmp_path)[0]["left_out"]] == ["5.png"]


def test_only_damaged_images_are_an_error(config, tmp_path, capfd):
    for i in range(IMAGES):
        damage_image(config, f"{i}.png")
    assert evaluate(config, tmp_path, "--no-check", "--skip-bad") == 1
    assert f"None of {IMAGES} images can be scored; the first: " in capfd.readouterr().err
