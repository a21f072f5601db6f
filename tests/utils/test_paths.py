"""Relative paths of a config: the current folder first, then the repository."""

import pytest

from proxyclip.utils.paths import ROOT, find_existing_path


def test_find_existing_path_prefers_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_existing_path("proxyclip/utils/paths.py") == ROOT / "proxyclip/utils/paths.py"
    own = tmp_path / "proxyclip/utils/paths.py"
    own.parent.mkdir(parents=True)
    own.write_text("")
    assert find_existing_path("proxyclip/utils/paths.py") == own
    with pytest.raises(FileNotFoundError, match=r"'nope\.txt'.*looked at"):
        find_existing_path("nope.txt", "vocabulary file")
