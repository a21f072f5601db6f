"""Counts on disk: those that fit are loaded, and a full disk costs none."""

import errno
import shutil
from unittest.mock import Mock

import numpy as np

from proxyclip.engine.evaluation.resume import Journal
from proxyclip.utils.io import replace_file


def test_journal_loads_only_counts_that_fit(tmp_path, capsys):
    def counts(n: int):
        return np.arange(n), np.full(n, 3)

    first = Journal(tmp_path / "a", ["x", "y", "z"], 5, every=2)
    first.add({0: counts(2)})
    assert not (tmp_path / "a").exists()
    first.add({2: counts(0)})
    first.add({1: counts(4)})
    assert len(list((tmp_path / "a").iterdir())) == 1 and first.save() and first.save()
    again = Journal(tmp_path / "a", ["z", "new", "y"], 5).load()  # x is gone, the others have moved
    assert sorted(again) == [0, 2] and again[2][0].tolist() == [0, 1, 2, 3] and again[0][0].size == 0
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert Journal(tmp_path / "b", ["x", "y", "z"], 6).load() == {} and "5 classes, not 6" in capsys.readouterr().err
    (cut,) = [p for p in (tmp_path / "a").iterdir() if p.name.endswith("000000.npz")]
    cut.write_bytes(cut.read_bytes()[:100])
    assert sorted(Journal(tmp_path / "a", ["x", "y", "z"], 5).load()) == [1]
    assert "its images are counted again" in capsys.readouterr().err


def test_journal_keeps_counts_while_the_disk_is_full(tmp_path, monkeypatch, capsys):
    journal = Journal(tmp_path / "a", ["x", "y"], 5, every=1)
    full = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr("proxyclip.engine.evaluation.resume.replace_file", full)
    journal.add({0: (np.arange(2), np.ones(2, int))})
    assert not journal.save() and capsys.readouterr().err.count("No space left on device") == 1
    monkeypatch.setattr("proxyclip.engine.evaluation.resume.replace_file", replace_file)
    journal.add({1: (np.arange(1), np.ones(1, int))})
    assert sorted(Journal(tmp_path / "a", ["x", "y"], 5).load()) == [0, 1]
