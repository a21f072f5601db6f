"""The environment of a process, changed for a block and no longer."""

import os

import pytest

from proxyclip.utils.system import hidden_proxies, temporary_environment


@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "https_proxy", "NO_PROXY"])
def test_proxies_are_hidden_inside_the_block(monkeypatch, name):
    monkeypatch.setenv(name, "socks://127.0.0.1:7890")
    with pytest.raises(ZeroDivisionError), hidden_proxies():
        assert name not in os.environ
        raise ZeroDivisionError
    assert os.environ[name] == "socks://127.0.0.1:7890"


def test_variables_are_set_inside_the_block(monkeypatch):
    monkeypatch.setenv("MINE", "before")
    monkeypatch.delenv("OTHER", raising=False)
    with temporary_environment({"MINE": "inside", "OTHER": "new", "PATH": None}):
        assert (os.environ["MINE"], os.environ["OTHER"]) == ("inside", "new")
        assert os.environ["PATH"]
    assert os.environ["MINE"] == "before" and "OTHER" not in os.environ
