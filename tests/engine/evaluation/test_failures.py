"""Work dirs that take nothing, disks that are full, workers that die: a clear message, and nothing computed is lost."""

import errno
import json
import os
import re
import signal
import tempfile
from pathlib import Path

import pytest
from helpers.dummy_dataset import evaluate, make_world

from proxyclip.engine.errors import format_error
from proxyclip.engine.evaluation.runner import QuietRunner
from proxyclip.results.records import load_records, save_record
from proxyclip.utils.paths import ROOT

pytestmark = pytest.mark.usefixtures("own_environment")


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_work_dir_that_cannot_be_written(config, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(QuietRunner, "from_cfg", None)  # nothing may be built before
    assert evaluate(config, tmp_path / "file" / "out") == 1
    said = capsys.readouterr().err
    assert f"The work dir {tmp_path / 'file' / 'out'} cannot be written (Not a directory)" in said
    assert "--work-dir DIR" in said
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert evaluate(config, tmp_path) == 1
    assert "cannot be written (No space left on device)" in capsys.readouterr().err


def test_a_record_that_cannot_be_written_is_kept_elsewhere(config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "refuge"))
    work_dir, write = tmp_path / "out", save_record
    work_dir.mkdir()
    (tmp_path / "refuge").mkdir()
    monkeypatch.setattr(
        "proxyclip.results.save_record", lambda run, folder: full() if folder == work_dir else write(run, folder)
    )
    assert evaluate(config, work_dir, "--save-every", "2") == 1
    said = capsys.readouterr().err
    assert "The record cannot be written" in said and "mIoU" in said and "the same command takes them up" in said
    kept = Path(re.search(r"It is in (\S+): move it", said)[1])
    assert kept.is_relative_to(tmp_path / "refuge") and json.loads(kept.read_text())["metrics"]["mIoU"] > 60
    monkeypatch.setattr("proxyclip.results.save_record", write)
    assert evaluate(config, work_dir) == 0 and "going on after 7 of 7 images" in capsys.readouterr().out
    (run,) = load_records(work_dir)
    assert run["metrics"] == json.loads(kept.read_text())["metrics"] and run["images_per_second"] is None


def test_a_disk_without_any_room(config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("proxyclip.results.save_record", full)
    assert evaluate(config, tmp_path) == 1
    said = capsys.readouterr().err
    assert "Nor can " in said and re.search(r"mIoU \d\d\.\d", said)


def test_tables_that_cannot_be_written_cost_no_record(config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("proxyclip.results.rebuild_tables", full)
    assert evaluate(config, tmp_path) == 0
    assert f"python -m proxyclip tables {tmp_path}" in capsys.readouterr().err
    assert len(load_records(tmp_path)) == 1


def test_other_numbers_of_the_same_evaluation_are_said(config, tmp_path, capsys):
    assert evaluate(config, tmp_path) == 0
    (run,) = load_records(tmp_path)
    assert evaluate(config, tmp_path) == 0 and "other numbers" not in capsys.readouterr().err
    save_record({**run, "metrics": {**run["metrics"], "mIoU": 12.345}}, tmp_path)
    assert evaluate(config, tmp_path) == 0
    assert f"(mIoU 12.35, now {run['metrics']['mIoU']:.2f})" in capsys.readouterr().err


def test_a_log_that_cannot_be_written_costs_nothing(config, tmp_path, capsys, monkeypatch):
    from mmengine.hooks import LoggerHook

    monkeypatch.setattr(LoggerHook, "after_test_epoch", full)
    assert evaluate(config, tmp_path) == 0
    assert "the log cannot be written" in capsys.readouterr().err and len(load_records(tmp_path)) == 1


def test_a_loader_process_is_killed(config, tmp_path, capfd, monkeypatch):
    """Killed from outside, as by a system without memory."""
    from mmcv.transforms import LoadImageFromFile

    load = LoadImageFromFile.transform

    def die(self, sample):
        if sample["img_path"].endswith("4.png"):
            os.kill(os.getpid(), signal.SIGKILL)
        return load(self, sample)

    monkeypatch.setattr(LoadImageFromFile, "transform", die)
    words = (
        "--no-check",
        "--workers",
        "1",
        "--cfg-options",
        "test_dataloader.dataset.pipeline.0.type=mmcv.LoadImageFromFile",
    )
    assert evaluate(config, tmp_path, *words) == 1
    said = capfd.readouterr().err
    assert "a process that loads images was killed" in said and "--workers 0" in said and "Traceback" not in said
    known = re.search(r"(\d) of 7 images are scored and saved", said)  # as many as were on their way
    assert known and int(known[1]) <= 4 and "--skip-bad" not in said
    monkeypatch.setattr(LoadImageFromFile, "transform", load)
    assert evaluate(config, tmp_path, *words) == 0
    assert load_records(tmp_path)[0]["resumed_images"] == int(known[1])


def test_what_cannot_be_resumed_runs_as_before(config, tmp_path, capsys):
    other = ("--cfg-options", "test_dataloader.sampler.type=InfiniteSampler")
    assert evaluate(config, tmp_path, "--skip-bad", *other) == 1
    assert "--skip-bad does not work with this config: its sampler is a InfiniteSampler" in capsys.readouterr().err
    assert evaluate(config, tmp_path, "--cfg-options", "test_evaluator.format_only=True") == 0
    assert not (tmp_path / "unfinished").exists()


def test_wrong_numbers(config, tmp_path, capsys):
    for words in (("--save-every", "0"), ("--gallery", "-1")):
        assert evaluate(config, tmp_path, *words) == 1
        assert "--save-every to be 1 or more and --gallery 0 or more" in capsys.readouterr().err


def test_a_full_disk_is_called_so():
    assert "the disk is full" in format_error(OSError(errno.ENOSPC, "No space left on device"))


def test_every_field_of_a_record_is_documented(config, tmp_path):
    """docs/results.md has a line for each field of a record, and no other."""
    assert evaluate(config, tmp_path) == 0
    (run,) = load_records(tmp_path)
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").split("## The record")[1].split("\n## ")[0]
    lines = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| `")]
    named = [name for first, _ in lines for name in re.findall(r"`(\w+)`", first)]
    assert sorted(named) == sorted(run)
    said = {name: about for first, about in lines for name in re.findall(r"`(\w+)`", first)}
    for field in ("dataset", "protocol", "metrics", "confusion", "per_image", "times", "git", "weights"):
        for inside in run[field]:
            assert f"`{inside}" in said[field], (field, inside)
