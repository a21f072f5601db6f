"""Finding strategies and encoders by file name."""

from __future__ import annotations

import pytest

from proxyclip import plugins
from proxyclip.attention import build_strategy
from proxyclip.attention.proxy import Proxy
from proxyclip.paths import ROOT, find


def test_every_file_holds_one_class():
    for folder in ("attention", "vfm"):
        assert plugins.known(folder)
        for name in plugins.known(folder):
            assert isinstance(plugins.load(folder, name), type)


def test_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match=r"'maskclip', 'proxy', 'vanilla'.*'proxi'.*mean 'proxy'"):
        plugins.load("attention", "proxi")
    with pytest.raises(ValueError, match="one of"):
        plugins.load("attention", "_parts")
    with pytest.raises(ValueError, match=r"dict\(type="):
        plugins.build("attention", {"beta": 1})


def test_unknown_option_lists_the_options():
    with pytest.raises(TypeError, match=r"'Proxy' has no option \['bta'\].*'beta', 'gamma'"):
        plugins.build("attention", {"type": "proxy", "bta": 1})


def test_defaults_give_way_to_the_spec():
    assert build_strategy(None, True, beta=1.0, gamma=2.0) == Proxy(1.0, 2.0)
    assert build_strategy({"type": "proxy", "beta": 1.5}, True, beta=1.0, gamma=2.0) == Proxy(1.5, 2.0)
    assert repr(build_strategy("vanilla", False, beta=1.0)) == "Vanilla()"


def test_combinations_without_sense():
    with pytest.raises(ValueError, match="Proxy needs a VFM"):
        build_strategy("proxy", guided=False)
    with pytest.raises(ValueError, match="Vanilla uses no VFM"):
        build_strategy("vanilla", guided=True)


def test_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find("proxyclip/paths.py") == ROOT / "proxyclip/paths.py"
    (tmp_path / "proxyclip").mkdir()
    (tmp_path / "proxyclip/paths.py").write_text("")
    assert find("proxyclip/paths.py") == tmp_path / "proxyclip/paths.py"
    with pytest.raises(FileNotFoundError, match=r"'nope\.txt'.*looked at"):
        find("nope.txt", "vocabulary file")
