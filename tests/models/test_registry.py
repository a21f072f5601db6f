"""Plug-in classes by file name, and the arguments of their constructors."""

from typing import NamedTuple

import pytest

from proxyclip.models import registry
from proxyclip.models.attention import build_strategy
from proxyclip.models.attention.proxy import Proxy
from proxyclip.utils.paths import ROOT


def test_every_plugin_file_has_one_class():
    for folder in ("attention", "vfm", "refine", "methods"):
        assert registry.list_plugins(folder)
        for name in registry.list_plugins(folder):
            assert isinstance(registry.load_plugin_class(folder, name), type)


def test_unknown_names_are_answered_with_the_known():
    with pytest.raises(ValueError, match=r"'maskclip'.*'proxy'.*my/own\.py.*'proxi'.*mean 'proxy'"):
        registry.load_plugin_class("attention", "proxi")
    with pytest.raises(ValueError, match="one of"):
        registry.load_plugin_class("attention", "_parts")
    with pytest.raises(ValueError, match=r"dict\(type="):
        registry.build_plugin("attention", {"beta": 1})


def test_unknown_options_are_answered_with_the_known():
    with pytest.raises(TypeError, match=r"'Proxy' has no option \['bta'\].*'beta', 'gamma'"):
        registry.build_plugin("attention", {"type": "proxy", "bta": 1})


def test_options_of_the_spec_win_over_defaults():
    assert build_strategy(None, True, beta=1.0, gamma=2.0) == Proxy(1.0, 2.0)
    assert build_strategy({"type": "proxy", "beta": 1.5}, True, beta=1.0, gamma=2.0) == Proxy(1.5, 2.0)
    assert repr(build_strategy("vanilla", False, beta=1.0)) == "Vanilla()"


STRATEGY = '''
"""Patches keep SHARE of their values."""
from dataclasses import dataclass
from proxyclip.models.layers.block import project_values


@dataclass(frozen=True)
class Keep:
    share: float = SHARE
    guided = None

    def __call__(self, block, x, grid, guide):
        return self.share * project_values(block, x), grid
'''


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two plug-ins of one name in two folders, with other numbers; the first folder's name has a dash."""
    for folder, share in (("a-b", "0.25"), ("c", "0.5")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "keep.py").write_text(STRATEGY.replace("SHARE", share))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_plugins_are_loaded_by_path(files):
    assert repr(build_strategy("a-b/keep.py", True)) == "Keep(share=0.25)"
    assert repr(build_strategy({"type": str(files / "c/keep.py"), "share": 2.0}, False)) == "Keep(share=2.0)"
    in_repository = registry.load_plugin_class("attention", "proxyclip/models/attention/naclip.py")
    assert in_repository.__name__ == "NACLIP"


def test_copies_of_package_files_are_plugins(tmp_path):
    copy = tmp_path / "copy.py"
    copy.write_text((ROOT / "proxyclip/models/attention/naclip.py").read_text())
    assert repr(registry.build_plugin("attention", {"type": str(copy), "sigma": 3.0})).startswith("NACLIP(sigma=3.0")


def test_plugin_files_of_one_name_are_separate(files):
    one, two = (registry.load_plugin_class("attention", f"{folder}/keep.py") for folder in ("a-b", "c"))
    assert (one().share, two().share) == (0.25, 0.5)
    assert one.__module__ != two.__module__
    assert registry.load_plugin_class("attention", str(files / "a-b/../a-b/keep.py")) is one


def test_edited_plugin_file_is_loaded_again(files):
    before = registry.load_plugin_class("attention", "c/keep.py")
    (files / "c/keep.py").write_text(STRATEGY.replace("SHARE", "0.7"))
    assert (before().share, registry.load_plugin_class("attention", "c/keep.py")().share) == (0.5, 0.7)


@pytest.mark.parametrize("text, error, message", [
    (None, FileNotFoundError, "attention plug-in 'own.py' does not exist; looked at"),
    ("X = 1", TypeError, "own.py must define one public class, but defines \\[\\]"),
    ("class A: ...\nclass B: ...", TypeError, "'A', 'B'"),
    ("class A:", SyntaxError, "own.py"),
    ("import no_such_thing", ImportError, "no_such_thing"),
])  # fmt: skip
def test_files_that_are_no_plugins_are_refused(tmp_path, monkeypatch, text, error, message):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "own.py").write_text(text)
    for _ in range(2):  # nothing unfinished is kept
        with pytest.raises(error, match=message):
            registry.load_plugin_class("attention", "own.py")


def test_constructor_arguments_follow_the_bases_that_get_keywords():
    class Base:
        def __init__(self, width, *, depth=2): ...

    class Child(Base):
        def __init__(self, size, *parts, **options): ...

    class Grandchild(Child): ...

    class Open:
        def __init__(self, size, **options): ...

    class Pair(NamedTuple):
        left: int
        right: int = 0

    assert registry.list_constructor_arguments(Grandchild) == ["size", "width", "depth"]
    assert registry.list_constructor_arguments(Open) == ["size"]
    assert registry.list_constructor_arguments(Exception) == []
    assert registry.list_constructor_arguments(Pair) == ["left", "right"]
    assert registry.accepts_any_argument(Open) and not registry.accepts_any_argument(Grandchild)
