"""Checkpoints say whether they are whole: a damaged one is never trained on, and the one before it is taken."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from helpers.damages import iter_damages
from helpers.learner import CONFIG, learner_folder, train_learner, weights_of
from helpers.train_runs import read_losses
from mmengine.config import Config

from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.evaluation.evaluate import run_evaluation
from proxyclip.engine.training.checkpoint import find_latest_checkpoint, find_whole_checkpoint, remove_checkpoints
from proxyclip.engine.training.settings import explain_changed_settings
from proxyclip.models.trained.state_dict import (
    DamagedCheckpoint,
    checkpoint_hash_path,
    load_checkpoint_file,
    read_checkpoint_hash,
    save_checkpoint_hash,
    verify_checkpoint,
)
from proxyclip.models.weights import WeightsError
from proxyclip.utils.hashing import hash_file


def save_checkpoint(path: Path, seed: int = 0) -> Path:
    """Save a checkpoint with its hash."""
    torch.manual_seed(seed)
    state = {"conv.weight": torch.randn(64, 40), "conv.bias": torch.randn(64)}
    optimizer = {"state": {0: {"momentum_buffer": torch.randn(64, 40)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    torch.save({"state_dict": state, "meta": {"iter": seed}, "optimizer": optimizer}, path)
    save_checkpoint_hash(path, hash_file(path))
    return path


def tensors_of(path: Path) -> list:
    checkpoint = load_checkpoint_file(path)
    tensors = [*checkpoint["state_dict"].values(), checkpoint["optimizer"]["state"][0]["momentum_buffer"]]
    return [tensor.tolist() for tensor in tensors]


def test_no_damaged_checkpoint_is_taken(tmp_path, damage_count):
    older, path = save_checkpoint(tmp_path / "iter_1.pth", 1), save_checkpoint(tmp_path / "iter_2.pth", 2)
    data = path.read_bytes()
    for description, damaged in iter_damages(data, damage_count):
        path.write_bytes(damaged)
        with pytest.raises(DamagedCheckpoint, match=r"iter_2\.pth is damaged: its content does not fit"):
            load_checkpoint_file(path)
        whole = find_whole_checkpoint(tmp_path)
        assert whole.path == older and list(whole.damaged) == [path] and whole.has_hash, description


def test_damage_of_a_checkpoint_without_hash_changes_no_number(tmp_path, damage_count):
    older, path = save_checkpoint(tmp_path / "iter_1.pth", 1), save_checkpoint(tmp_path / "iter_2.pth", 2)
    data, tensors = path.read_bytes(), tensors_of(path)
    checkpoint_hash_path(path).unlink()
    refused = 0
    for description, damaged in iter_damages(data, damage_count):
        path.write_bytes(damaged)
        whole = find_whole_checkpoint(tmp_path)
        assert whole.path in (older, path), description
        if whole.path == path:
            assert tensors_of(path) == tensors and not whole.has_hash, description
        else:
            refused += 1
    assert refused > damage_count / 2


def test_damaged_hash_costs_no_checkpoint(tmp_path, damage_count):
    path = save_checkpoint(tmp_path / "iter_2.pth")
    hash_path = checkpoint_hash_path(path)
    data, tensors = hash_path.read_bytes(), tensors_of(path)
    for description, damaged in iter_damages(data, damage_count):
        hash_path.write_bytes(damaged)
        assert find_whole_checkpoint(tmp_path).path == path and tensors_of(path) == tensors, description
    for content in (b"\xff" * 10, b"0" * 20_000, b"a\0b\n" * 2):
        hash_path.write_bytes(content)
        assert read_checkpoint_hash(path) is None and verify_checkpoint(path) is False
    hash_path.unlink()
    hash_path.mkdir()
    assert verify_checkpoint(path) is False


def test_damaged_name_of_the_last_checkpoint_costs_no_checkpoint(tmp_path, damage_count):
    save_checkpoint(tmp_path / "iter_10.pth"), save_checkpoint(tmp_path / "iter_20.pth")
    (tmp_path / "losses.jsonl").touch()
    contents = [damaged for _, damaged in iter_damages(b"iter_20.pth", damage_count)]
    for content in (*contents, b"\xff\xfe", b"a\0b", b"../../etc/passwd", b"losses.jsonl", b"x" * 20_000, b""):
        (tmp_path / "last_checkpoint").write_bytes(content)
        whole = find_whole_checkpoint(tmp_path)
        assert whole.path in (tmp_path / "iter_10.pth", tmp_path / "iter_20.pth") and not whole.damaged, content
    remove_checkpoints(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["losses.jsonl"]


def test_the_newest_is_the_one_of_the_highest_iteration_whatever_the_clock_says(tmp_path):
    for seed in (9, 10, 8):  # as after the clock was set back
        save_checkpoint(tmp_path / f"iter_{seed}.pth", seed)
    assert find_latest_checkpoint(tmp_path) == find_whole_checkpoint(tmp_path).path == tmp_path / "iter_10.pth"


def test_nothing_whole_is_said(tmp_path):
    path = save_checkpoint(tmp_path / "iter_2.pth")
    path.write_bytes(b"")
    whole = find_whole_checkpoint(tmp_path)
    assert whole.path is None and "iter_2.pth is damaged" in whole.damaged[path]
    path.unlink()
    path.mkdir()
    with pytest.raises(WeightsError):
        verify_checkpoint(path)


def test_changed_settings_are_named():
    cfg = Config(dict(model=dict(type="A", depth=2), optim_wrapper=dict(optimizer=dict(lr=0.1))))
    settings = {"model.type": "'A'", "model.depth": "3", "optim_wrapper.optimizer.lr": "0.1", "processes": "2"}
    note = explain_changed_settings({"settings": settings}, cfg)
    assert note is not None and "model.depth 3 -> 2" in note and "processes 2 -> 1" in note and "lr" not in note
    assert explain_changed_settings({}, cfg) is None and explain_changed_settings({"settings": [1]}, cfg) is None


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder with a config and a whole training in `whole`."""
    folder = tmp_path_factory.mktemp("train")
    (folder / "cfg_learner.py").write_text(CONFIG.replace("DATA", str(folder / "data")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setattr(Config, "pretty_text", "")
        patch.chdir(folder)
        assert train_learner("whole", "--no-eval") == 0
        yield folder


def flip_a_weight(path: Path) -> None:
    """Flip the sign of a weight, in the file's bytes."""
    data = bytearray(path.read_bytes())
    weights = next(iter(load_checkpoint_file(path)["state_dict"].values()))
    place = data.find(weights.contiguous().numpy().tobytes())
    assert place > 0
    data[place + 3] ^= 0x80
    path.write_bytes(data)


@pytest.mark.usefixtures("own_environment")
def test_training_goes_on_before_a_damaged_checkpoint_to_the_same_numbers(trained, monkeypatch, capfd):
    monkeypatch.chdir(trained)
    shutil.copytree("whole", "flipped")
    folder, calm = learner_folder("flipped"), learner_folder("whole")
    flip_a_weight(folder / "iter_8.pth")
    assert train_learner("flipped", "--no-eval", "--resume") == 0
    captured = capfd.readouterr()
    assert f"warning: The checkpoint {folder / 'iter_8.pth'} is damaged" in captured.err
    assert f"going on after {folder / 'iter_6.pth'}" in captured.out and "has no hash" not in captured.out
    assert "other settings" not in captured.out
    assert weights_of(folder / "iter_8.pth") == weights_of(calm / "iter_8.pth")
    assert read_losses(folder) == read_losses(calm)
    assert verify_checkpoint(folder / "iter_8.pth")


@pytest.mark.usefixtures("own_environment")
def test_damaged_checkpoint_is_neither_evaluated_nor_started_from(trained, monkeypatch, capfd):
    monkeypatch.chdir(trained)
    shutil.copytree("whole", "bad")
    path = learner_folder("bad") / "iter_8.pth"
    flip_a_weight(path)
    with pytest.raises(DamagedCheckpoint):
        run_evaluation(EvalOptions(config="cfg_learner.py", checkpoint=str(path), work_dir="evaluated", device="cpu"))
    assert train_learner("started", "--no-eval", "--load-from", str(path)) == 1
    assert f"{path} is damaged" in capfd.readouterr().err
    flip = learner_folder("bad") / "iter_6.pth"
    flip_a_weight(flip)
    assert train_learner("bad", "--no-eval", "--resume") == 1
    error = capfd.readouterr().err
    assert "None of the checkpoints in" in error and "--fresh deletes them" in error and "is saved" not in error


@pytest.mark.usefixtures("own_environment")
def test_a_line_names_only_a_checkpoint_that_was_read(trained, monkeypatch, capfd):
    monkeypatch.chdir(trained)
    shutil.copytree("whole", "cut")
    folder = learner_folder("cut")
    for path in (folder / "iter_8.pth", folder / "iter_8.pth.sha256"):
        path.unlink()
    (folder / "last_checkpoint").unlink()
    shutil.copy(folder / "iter_6.pth", folder / "iter_7.pth")
    (folder / "iter_7.pth").write_bytes((folder / "iter_6.pth").read_bytes()[:-200])
    options = ("--resume", "--cfg-options", "model.fault=stop", "model.at=1")
    assert train_learner("cut", "--no-eval", *options) == 130
    error = capfd.readouterr().err
    assert f"{folder / 'iter_6.pth'} is saved; the same command with --resume goes on after it" in error
    assert "iter_7.pth cannot be read" in error and "iter_7.pth is saved" not in error


@pytest.mark.usefixtures("own_environment")
def test_checkpoint_without_hash_is_read_whole_and_this_is_said(trained, monkeypatch, capfd):
    monkeypatch.chdir(trained)
    shutil.copytree("whole", "old")
    folder = learner_folder("old")
    for path in folder.glob("*.sha256"):
        path.unlink()
    assert train_learner("old", "--no-eval", "--resume") == 0
    assert f"{folder / 'iter_8.pth'} has no hash beside it: its own checksums were checked" in capfd.readouterr().out
    assert json.loads((folder / "losses.jsonl").read_text().splitlines()[-1])["iter"] == 8
