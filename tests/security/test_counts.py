"""Saved counts say whether they are whole: damaged ones are counted again, and no rerun ends because of them."""

import re
from pathlib import Path

import numpy as np
import pytest
from helpers.damages import iter_damages
from helpers.dummy_dataset import evaluate, make_world

from proxyclip.engine.evaluation import resume
from proxyclip.engine.evaluation.resume import Journal, hash_count_arrays
from proxyclip.results.records import extract_metrics, load_records

CLASSES = 20
TOKENS = [f"t{number:015d}" for number in range(50)]


def draw_counts() -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Counts of 50 images, of 60 pairs each."""
    draw = np.random.default_rng(0)
    pairs = [np.sort(draw.choice(CLASSES**2, 60, replace=False)).astype(np.int64) for _ in TOKENS]
    return {number: (part, draw.integers(1, 999, 60)) for number, part in enumerate(pairs)}


def save_counts(folder: Path) -> Path:
    """Save the drawn counts, and return their file."""
    Journal(folder, TOKENS, CLASSES).add(draw_counts())
    (path,) = folder.glob("*.npz")
    return path


def load_counts(folder: Path) -> dict[int, tuple[list[int], list[int]]]:
    loaded = Journal(folder, TOKENS, CLASSES).load()
    return {number: (pairs.tolist(), counts.tolist()) for number, (pairs, counts) in loaded.items()}


def test_damaged_counts_are_named_once_and_never_used(tmp_path, damage_count, capsys):
    path = save_counts(tmp_path)
    data = path.read_bytes()
    written = load_counts(tmp_path)
    assert len(written) == 50
    refused = 0
    for description, damaged in iter_damages(data, damage_count):
        path.write_bytes(damaged)
        loaded = load_counts(tmp_path)
        assert loaded in ({}, written), description
        message = capsys.readouterr().err
        assert bool(loaded) == (message == ""), description
        refused += not loaded
        assert load_counts(tmp_path) == loaded and capsys.readouterr().err == "", f"named again: {description}"
    assert refused >= damage_count * 0.8


@pytest.mark.parametrize(
    "change",
    [
        {"pairs": np.array([3, CLASSES * (CLASSES + 1)])},
        {"pairs": np.array([-5, 3])},
        {"pairs": np.array([[3, 4]])},
        {"counts": np.array([-100, 1])},
        {"counts": np.array([0, 1])},
        {"counts": np.array([1.5, 1.0])},
        {"counts": np.array([1 << 50, 1])},
        {"classes": np.array("20")},
        {"classes": np.array([20, 20])},
        {"classes": np.array(19)},
        {"length": np.array([5, 1])},
        {"length": np.array([-1, 3])},
        {"length": np.array([2])},
        {"length": np.array([2, 0]), "pairs": np.array([4, 4])},
        {"length": np.array([2, 0]), "pairs": np.array([4, 3])},
        {"token": np.array([TOKENS[0]] * 2)},
        {"token": np.array([1, 2])},
        {"sha256": np.array("0" * 64)},
    ],
    ids=str,
)
def test_counts_that_no_evaluation_makes_are_refused_whatever_hash_they_have(change, tmp_path, capsys):
    arrays = {
        "classes": np.array(CLASSES), "token": np.array(TOKENS[:2]), "length": np.array([1, 1]),
        "pairs": np.array([3, 4]), "counts": np.array([1, 1]),
    }  # fmt: skip
    np.savez(tmp_path / "good.npz", **arrays, sha256=np.array(hash_count_arrays(arrays)))
    assert load_counts(tmp_path) == {0: ([3], [1]), 1: ([4], [1])}
    arrays |= {name: value for name, value in change.items() if name != "sha256"}
    np.savez(tmp_path / "good.npz", **arrays, sha256=change.get("sha256", np.array(hash_count_arrays(arrays))))
    assert load_counts(tmp_path) == {}
    assert "damaged" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY" + b"x" * 20, b"PK\x05\x06" + bytes(18)])
def test_other_files_are_no_counts(content, tmp_path, capsys):
    (tmp_path / "a.npz").write_bytes(content)
    assert load_counts(tmp_path) == {}
    assert re.search(
        r"the file of counts \S+a\.npz is damaged \(.+\): its images are counted again", capsys.readouterr().err
    )


def test_folders_and_links_in_place_of_counts_are_put_aside(tmp_path, capsys):
    whole = save_counts(tmp_path)
    (tmp_path / "a.npz").mkdir()
    (tmp_path / "b.npz").symlink_to(tmp_path / "nowhere")
    (tmp_path / "c.npz").symlink_to("/dev/zero")
    assert len(load_counts(tmp_path)) == 50
    assert capsys.readouterr().err.count("it is no plain file") == 3
    assert len(load_counts(tmp_path)) == 50 and capsys.readouterr().err == ""
    assert list(tmp_path.glob("*.npz")) == [whole]


def test_counts_that_cannot_be_read_now_stay_and_stop_nothing(tmp_path, monkeypatch, capsys):
    path = save_counts(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(
            resume, "read_limited_bytes", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
        )
        assert load_counts(tmp_path) == {}
    assert f"{path} cannot be read (Permission denied); its images are counted again" in capsys.readouterr().err
    assert len(load_counts(tmp_path)) == 50


def test_large_counts_are_refused_unread(tmp_path, monkeypatch, capsys):
    path = save_counts(tmp_path)
    monkeypatch.setattr(resume, "_MAX_ARRAY_BYTES", 1000)
    assert load_counts(tmp_path) == {} and "but it unpacks to" in capsys.readouterr().err
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert load_counts(tmp_path) == {} and "Expected a file of counts of at most" in capsys.readouterr().err


@pytest.mark.usefixtures("own_environment")
def test_evaluation_goes_on_past_damaged_counts_to_the_same_record(tmp_path, capsys):
    config = make_world(tmp_path / "world")
    fault = ("--save-every", "2", "--cfg-options", "model.fail=late")
    assert evaluate(config, tmp_path / "out", *fault) == 1
    saved = sorted((tmp_path / "out" / "unfinished").glob("*/*.npz"))
    data = bytearray(saved[0].read_bytes())
    data[80:160] = bytes(80)
    saved[0].write_bytes(data)
    capsys.readouterr()
    assert evaluate(config, tmp_path / "out", *fault) == 1
    error = capsys.readouterr().err
    assert re.search(r"the counts of \d image\w* in \S+ are damaged|the file of counts \S+ is damaged", error)
    assert "error: ZeroDivisionError" in error  # the fault of the model, not of the counts


@pytest.mark.usefixtures("own_environment")
def test_counts_of_a_work_dir_that_becomes_read_only_are_kept_in_memory(tmp_path, monkeypatch, capsys):
    config = make_world(tmp_path / "world")
    assert evaluate(config, tmp_path / "calm") == 0

    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(resume, "replace_file", refuse)
    assert evaluate(config, tmp_path / "out", "--save-every", "1") == 0
    assert capsys.readouterr().err.count("Read-only file system") == 1
    records = [load_records(tmp_path / name)[0] for name in ("calm", "out")]
    assert extract_metrics(records[0]) == extract_metrics(records[1])
