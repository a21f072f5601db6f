"""The labels of a set are looked at once, and again where a file has changed."""

import json
import os

import numpy as np
from helpers.image_files import save

from proxyclip.data import label_lookup
from proxyclip.data.files.layout import SampleFiles
from proxyclip.data.label_lookup import look_up_labels


def make_pairs(folder, count):
    pairs = []
    for k in range(count):
        path = folder / f"{k}.png"
        save(path, np.full((2, 3), k % 4))
        pairs.append(SampleFiles(str(k), folder / f"{k}.jpg", path))
    return pairs


def refuse(*_):
    raise AssertionError("a label map is read")


def test_second_look_reads_the_cache(tmp_path, monkeypatch):
    pairs = make_pairs(tmp_path / "masks", 6)
    counts, problems = look_up_labels(pairs, folder=tmp_path / "cache")
    assert (counts.files, problems) == (6, [])
    assert {value: count.pixels for value, count in counts.values.items()} == {0: 12, 1: 12, 2: 6, 3: 6}
    with monkeypatch.context() as patch:
        patch.setattr(label_lookup, "count_labels", refuse)
        assert look_up_labels(pairs, folder=tmp_path / "cache") == (counts, [])
    save(pairs[0].label, np.full((2, 3), 9))
    os.utime(pairs[0].label, (1, 1))
    assert 9 in look_up_labels(pairs, folder=tmp_path / "cache")[0].values


def test_a_large_set_is_sampled_from_end_to_end(tmp_path):
    pairs = make_pairs(tmp_path, 20)
    counts, _ = look_up_labels(pairs, max_maps=3, folder=tmp_path / "cache")
    assert counts.files == 3
    assert {count.first for count in counts.values.values()} >= {str(pairs[0].label), str(pairs[-1].label)}


def test_bad_files_are_reported_and_not_cached(tmp_path):
    pairs = make_pairs(tmp_path, 3)
    pairs[1].label.write_bytes(b"<html>")
    for _ in range(2):
        counts, problems = look_up_labels(pairs, folder=tmp_path / "cache")
        assert (counts.files, [problem.file for problem in problems]) == (2, [str(pairs[1].label)])


def test_a_damaged_or_unwritable_cache_costs_time_alone(tmp_path, caplog):
    pairs = make_pairs(tmp_path / "masks", 2)
    counts, _ = look_up_labels(pairs, folder=tmp_path / "cache")
    (file,) = (tmp_path / "cache").rglob("*.json")
    changed = json.loads(file.read_text())
    changed["counts"][1][0][1] += 1
    for text in ("", "{", json.dumps([1]), json.dumps({"a": 1}), "[" * 100_000, json.dumps(changed)):
        file.write_text(text)
        assert look_up_labels(pairs, folder=tmp_path / "cache")[0] == counts
        assert str(file) in caplog.messages[-1] and "\n" not in caplog.messages[-1]
    assert json.loads(file.read_text()) != changed  # and was mended
    (tmp_path / "file").write_text("")
    assert look_up_labels(pairs, folder=tmp_path / "file" / "below")[0] == counts
