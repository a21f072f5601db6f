"""Plug-in classes by file name, and the arguments of their constructors."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from proxyclip.models.attention import build_strategy
from proxyclip.models.attention.proxy import Proxy
from proxyclip.models.registry import (
    accepts_any_argument,
    build_plugin,
    list_constructor_arguments,
    list_plugins,
    load_plugin_class,
)
from proxyclip.utils.paths import ROOT, find_existing_path


def test_every_file_holds_one_class():
    for folder in ("attention", "vfm", "refine", "methods"):
        assert list_plugins(folder)
        for name in list_plugins(folder):
            assert isinstance(load_plugin_class(folder, name), type)


def test_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match=r"'maskclip'.*'proxy'.*my/own\.py.*'proxi'.*mean 'proxy'"):
        load_plugin_class("attention", "proxi")
    with pytest.raises(ValueError, match="one of"):
        load_plugin_class("attention", "_parts")
    with pytest.raises(ValueError, match=r"dict\(type="):
        build_plugin("attention", {"beta": 1})


def test_unknown_option_lists_the_options():
    with pytest.raises(TypeError, match=r"'Proxy' has no option \['bta'\].*'beta', 'gamma'"):
        build_plugin("attention", {"type": "proxy", "bta": 1})


def test_defaults_give_way_to_the_spec():
    assert build_strategy(None, True, beta=1.0, gamma=2.0) == Proxy(1.0, 2.0)
    assert build_strategy({"type": "proxy", "beta": 1.5}, True, beta=1.0, gamma=2.0) == Proxy(1.5, 2.0)
    assert repr(build_strategy("vanilla", False, beta=1.0)) == "Vanilla()"


def test_combinations_without_sense():
    with pytest.raises(ValueError, match="Proxy needs a VFM"):
        build_strategy("proxy", guided=False)
    with pytest.raises(ValueError, match="Vanilla uses no VFM"):
        build_strategy("vanilla", guided=True)


STRATEGY = '''
"""Patches keep SHARE of their values."""
from dataclasses import dataclass
from proxyclip.models.layers.block import projected_values


@dataclass(frozen=True)
class Keep:
    share: float = SHARE
    guided = None

    def __call__(self, block, x, grid, guide):
        return self.share * projected_values(block, x), grid
'''


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two plug-ins of one name in two folders, with other numbers; the first folder's name has a dash."""
    for folder, share in (("a-b", "0.25"), ("c", "0.5")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "keep.py").write_text(STRATEGY.replace("SHARE", share))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_by_its_path(files):
    assert repr(build_strategy("a-b/keep.py", True)) == "Keep(share=0.25)"
    assert repr(build_strategy({"type": str(files / "c/keep.py"), "share": 2.0}, False)) == "Keep(share=2.0)"
    assert (
        load_plugin_class("attention", "proxyclip/models/attention/naclip.py").__name__ == "NACLIP"
    )  # in the repository


def test_a_copy_of_a_file_of_the_package_runs_anywhere(tmp_path):
    """Its relative imports are those of the folder it could lie in."""
    copy = tmp_path / "copy.py"
    copy.write_text((ROOT / "proxyclip/models/attention/naclip.py").read_text())
    assert repr(build_plugin("attention", {"type": str(copy), "sigma": 3.0})).startswith("NACLIP(sigma=3.0")


def test_files_of_one_name_do_not_mix(files):
    one, two = (load_plugin_class("attention", f"{folder}/keep.py") for folder in ("a-b", "c"))
    assert (one().share, two().share) == (0.25, 0.5)
    assert one.__module__ != two.__module__
    assert load_plugin_class("attention", str(files / "a-b/../a-b/keep.py")) is one


def test_an_edited_file_is_read_again(files):
    before = load_plugin_class("attention", "c/keep.py")
    (files / "c/keep.py").write_text(STRATEGY.replace("SHARE", "0.7"))
    assert (before().share, load_plugin_class("attention", "c/keep.py")().share) == (0.5, 0.7)


@pytest.mark.parametrize(
    "text, error, message",
    [
        (None, FileNotFoundError, "attention plug-in 'own.py' does not exist; looked at"),
        ("X = 1", TypeError, "own.py must define one public class, but defines \\[\\]"),
        ("class A: ...\nclass B: ...", TypeError, "'A', 'B'"),
        ("class A:", SyntaxError, "own.py"),
        ("import no_such_thing", ImportError, "no_such_thing"),
    ],
)
def test_files_that_are_no_plug_ins(tmp_path, monkeypatch, text, error, message):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "own.py").write_text(text)
    for _ in range(2):  # nothing half-made is kept
        with pytest.raises(error, match=message):
            load_plugin_class("attention", "own.py")


def test_an_option_a_file_does_not_have(files):
    with pytest.raises(TypeError, match=r"'Keep' has no option \['shape'\]; its options are \['share'\]"):
        build_plugin("attention", {"type": "c/keep.py", "shape": 1})


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

    assert list_constructor_arguments(Grandchild) == ["size", "width", "depth"]
    assert list_constructor_arguments(Open) == ["size"] and list_constructor_arguments(Exception) == []
    assert list_constructor_arguments(Pair) == ["left", "right"]
    assert accepts_any_argument(Open) and not accepts_any_argument(Grandchild)


def test_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_existing_path("proxyclip/utils/paths.py") == ROOT / "proxyclip/utils/paths.py"
    (tmp_path / "proxyclip").mkdir()
    (tmp_path / "proxyclip/utils/paths.py").write_text("")
    assert find_existing_path("proxyclip/utils/paths.py") == tmp_path / "proxyclip/utils/paths.py"
    with pytest.raises(FileNotFoundError, match=r"'nope\.txt'.*looked at"):
        find_existing_path("nope.txt", "vocabulary file")
