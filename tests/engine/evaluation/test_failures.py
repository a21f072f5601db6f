"""Full disks, unwritable folders, dead workers: a clear message, and no computed result is lost."""

import errno
import json
import os
import re
import signal
import tempfile
from pathlib import Path

import pytest
from helpers.dummy_dataset import evaluate, make_world
from mmcv.transforms import LoadImageFromFile

from proxyclip.engine.errors import format_error
from proxyclip.engine.evaluation.runner import QuietRunner
from proxyclip.results.records import load_records, save_record
from proxyclip.utils.paths import ROOT

RECORD = "proxyclip.engine.evaluation.record"

pytestmark = pytest.mark.usefixtures("own_environment")


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


def raise_full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_unwritable_work_dir_is_refused_before_anything_is_built(config, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(QuietRunner, "from_cfg", None)  # nothing may be built before
    assert evaluate(config, tmp_path / "file" / "out") == 1
    message = capsys.readouterr().err
    assert f"The work dir {tmp_path / 'file' / 'out'} cannot be written (Not a directory)" in message
    assert "--work-dir DIR" in message
    monkeypatch.setattr(tempfile, "TemporaryFile", raise_full)
    assert evaluate(config, tmp_path) == 1
    assert "cannot be written (No space left on device)" in capsys.readouterr().err


def test_record_is_kept_elsewhere_if_the_work_dir_takes_none(config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "refuge"))
    work_dir = tmp_path / "out"
    work_dir.mkdir()
    (tmp_path / "refuge").mkdir()
    save = f"{RECORD}.save_record"
    monkeypatch.setattr(save, lambda run, folder: raise_full() if folder == work_dir else save_record(run, folder))
    assert evaluate(config, work_dir, "--save-every", "2") == 1
    message = capsys.readouterr().err
    for part in ("The record cannot be written", "mIoU", "the same command takes them up"):
        assert part in message
    kept = Path(re.search(r"It is in (\S+): move it", message)[1])
    assert kept.is_relative_to(tmp_path / "refuge") and json.loads(kept.read_text())["metrics"]["mIoU"] > 60
    monkeypatch.setattr(save, save_record)
    assert evaluate(config, work_dir) == 0 and "going on after 7 of 7 images" in capsys.readouterr().out
    (run,) = load_records(work_dir)
    assert run["metrics"] == json.loads(kept.read_text())["metrics"] and run["images_per_second"] is None


def test_metrics_are_printed_if_no_folder_takes_the_record(config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(f"{RECORD}.save_record", raise_full)
    assert evaluate(config, tmp_path) == 1
    message = capsys.readouterr().err
    assert "Nor can " in message and re.search(r"mIoU \d\d\.\d", message)


@pytest.mark.slow
def test_changed_metrics_of_the_same_evaluation_are_a_warning(config, tmp_path, capsys):
    for _ in range(2):
        assert evaluate(config, tmp_path) == 0 and "other numbers" not in capsys.readouterr().err
    (run,) = load_records(tmp_path)
    save_record({**run, "metrics": {**run["metrics"], "mIoU": 12.345}}, tmp_path)
    assert evaluate(config, tmp_path) == 0
    assert f"(mIoU 12.35, now {run['metrics']['mIoU']:.2f})" in capsys.readouterr().err


@pytest.mark.parametrize(
    "target, message",
    [
        (f"{RECORD}.rebuild_tables", "python -m proxyclip tables {}"),
        ("mmengine.hooks.LoggerHook.after_test_epoch", "the log cannot be written"),
    ],
)
def test_unwritable_tables_or_log_cost_no_record(config, tmp_path, capsys, monkeypatch, target, message):
    monkeypatch.setattr(target, raise_full)
    assert evaluate(config, tmp_path) == 0
    assert message.format(tmp_path) in capsys.readouterr().err and len(load_records(tmp_path)) == 1


@pytest.mark.slow
def test_killed_loader_process_is_explained_and_the_run_can_be_resumed(config, tmp_path, capfd, monkeypatch):
    load = LoadImageFromFile.transform

    def die(self, sample):
        if sample["img_path"].endswith("4.png"):
            os.kill(os.getpid(), signal.SIGKILL)
        return load(self, sample)

    monkeypatch.setattr(LoadImageFromFile, "transform", die)
    step = "test_dataloader.dataset.pipeline.0.type=mmcv.LoadImageFromFile"
    arguments = ("--no-check", "--workers", "1", "--cfg-options", step)
    assert evaluate(config, tmp_path, *arguments) == 1
    message = capfd.readouterr().err
    assert "a process that loads images was killed" in message and "--workers 0" in message
    saved = re.search(r"(\d) of 7 images are scored and saved", message)  # depends on how many were loaded
    assert saved and int(saved[1]) <= 4 and "--skip-bad" not in message and "Traceback" not in message
    monkeypatch.setattr(LoadImageFromFile, "transform", load)
    assert evaluate(config, tmp_path, *arguments) == 0
    assert load_records(tmp_path)[0]["resumed_images"] == int(saved[1])


def test_run_that_cannot_be_resumed_has_no_skip_bad(config, tmp_path, capsys):
    sampler = "test_dataloader.sampler.type=InfiniteSampler"
    assert evaluate(config, tmp_path, "--skip-bad", "--cfg-options", sampler) == 1
    assert "--skip-bad does not work with this config: its sampler is a InfiniteSampler" in capsys.readouterr().err
    assert evaluate(config, tmp_path, "--cfg-options", "test_evaluator.format_only=True") == 0
    assert not (tmp_path / "unfinished").exists()


def test_wrong_numbers_are_refused(config, tmp_path, capsys):
    for arguments in (("--save-every", "0"), ("--gallery", "-1")):
        assert evaluate(config, tmp_path, *arguments) == 1
        assert "--save-every to be 1 or more and --gallery 0 or more" in capsys.readouterr().err


def test_format_error_explains_a_full_disk_and_an_empty_data_set():
    assert "the disk is full" in format_error(OSError(errno.ENOSPC, "No space left on device"))
    assert "data set is empty" in format_error(ValueError("need at least one array to concatenate"))  # of MMEngine


def test_docs_have_a_line_for_each_field_of_a_record(config, tmp_path):
    assert evaluate(config, tmp_path) == 0
    (run,) = load_records(tmp_path)
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").split("## The record")[1].split("\n## ")[0]
    lines = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| `")]
    fields = [(name, text) for first, text in lines for name in re.findall(r"`(\w+)`", first)]
    assert sorted(name for name, _ in fields) == sorted(run)
    for field in ("dataset", "protocol", "metrics", "confusion", "per_image", "times", "git", "weights"):
        for key in run[field]:
            assert f"`{key}" in dict(fields)[field], (field, key)
