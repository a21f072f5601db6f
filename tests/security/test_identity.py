"""The identity of a run covers the code that runs: a run of changed code uses no earlier counts, and says so."""

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.dummy_dataset import evaluate, make_world
from mmengine.config import Config

from proxyclip.engine.config import own_code
from proxyclip.engine.config.components import MethodInfo
from proxyclip.engine.config.own_code import CodeChanged, check_code_current, hash_own_code
from proxyclip.engine.config.reading import read_config
from proxyclip.engine.evaluation.identity import RunIdentity, check_same_code, list_changed_code
from proxyclip.engine.evaluation.resume import Journal
from proxyclip.engine.evaluation.unused_counts import PARTS_FILE, explain_unused_counts
from proxyclip.results.records import load_records

PARTS = {
    "sec_root.py": "import os\nimport numpy\nfrom sec_pkg import near\nfrom proxyclip.utils.paths import ROOT\n",
    "sec_pkg/__init__.py": "",
    "sec_pkg/near.py": "def later():\n    from . import lazy\n    import sec_named\n",
    "sec_pkg/lazy.py": "import importlib\nimportlib.import_module('sec_space.inside')\n",
    "sec_pkg/unused.py": "",
    "sec_named.py": "try:\n    import no_such_module\nexcept ImportError:\n    pass\n",
    "sec_space/inside.py": "",
    "sec_caller.py": "import sec_root\n",
}
COUNTED = [
    "sec_named.py", "sec_pkg/__init__.py", "sec_pkg/lazy.py", "sec_pkg/near.py", "sec_root.py", "sec_space/inside.py",
]  # fmt: skip


def forget_modules() -> None:
    """Let the modules of these tests be imported anew, as a new process does."""
    for name in [name for name in sys.modules if name.startswith("sec_")]:
        del sys.modules[name]
    own_code._seen.clear()
    importlib.invalidate_caches()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Folder on the path with the modules of PARTS."""
    for name, text in PARTS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # edits within a second have one time
    yield tmp_path
    forget_modules()


def read_own_config(place: Path, text: str) -> Config:
    path = place / "cfg_own.py"
    path.write_text(text)
    return read_config(path)


def test_modules_are_followed_through_their_imports_and_no_others(place):
    cfg = read_own_config(place, "custom_imports = dict(imports=['sec_root'])")
    importlib.import_module("sec_caller")  # of the caller, as a notebook imports others
    before = hash_own_code(cfg)
    assert sorted(before) == COUNTED
    for name in PARTS:
        (place / name).write_text(PARTS[name] + "# changed\n")
        assert (hash_own_code(cfg) != before) == (name in COUNTED), name
        (place / name).write_text(PARTS[name])
    assert hash_own_code(cfg) == before


def test_moved_code_is_the_same(place, tmp_path_factory, monkeypatch):
    before = hash_own_code(read_own_config(place, "custom_imports = dict(imports='sec_root')"))
    moved = tmp_path_factory.mktemp("moved") / "deeper"
    shutil.copytree(place, moved)
    sys.path.remove(str(place))
    monkeypatch.syspath_prepend(moved)
    forget_modules()
    assert hash_own_code(read_own_config(moved, "custom_imports = dict(imports='sec_root')")) == before
    assert sys.modules["sec_root"].__file__ == str(moved / "sec_root.py")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("a = 1", []),
        ("custom_imports = dict(imports=['proxyclip.engine.hooks'])", []),
        ("model = dict(type='sec_named.Part')", ["sec_named.py"]),
        ("model = dict(attention='PLACE/own.py')", ["sec_named.py"]),
        ("import os\na = os.sep", ["cfg_own.py"]),
        ("a = __import__('sec_named').__name__", ["cfg_own.py", "sec_named.py"]),
        ("_base_ = 'base.py'", ["base.py", "sec_named.py"]),
    ],
)
def test_what_a_config_brings_in(place, text, labels):
    (place / "own.py").write_text("def later():\n    import sec_named\n")
    (place / "base.py").write_text("b = __import__('sec_named').__name__\n")
    assert sorted(hash_own_code(read_own_config(place, text.replace("PLACE", str(place))))) == labels


def test_names_known_only_as_the_code_runs_stand_for_the_whole_package(place):
    (place / "sec_pkg/near.py").write_text("import importlib\ndef later(name):\n    importlib.import_module(name)\n")
    cfg = read_own_config(place, "custom_imports = dict(imports=['sec_pkg.near'])")
    assert {"sec_pkg/unused.py", "sec_pkg/lazy.py"} <= set(hash_own_code(cfg))


def test_compiled_modules_count_by_their_bytes(place):
    (place / "sec_fast.so").write_bytes(b"\x7fELF")
    (place / "sec_root.py").write_text("def later():\n    import sec_fast\n")
    cfg = read_own_config(place, "custom_imports = dict(imports=['sec_root'])")
    before = hash_own_code(cfg)
    assert "sec_fast.so" in before
    (place / "sec_fast.so").write_bytes(b"\x7fELF2")
    assert hash_own_code(cfg) != before


def test_code_that_was_edited_after_its_import_does_not_run(place):
    cfg = read_own_config(place, "custom_imports = dict(imports=['sec_root'])")
    hash_own_code(cfg)
    check_code_current(cfg)
    (place / "sec_pkg/near.py").write_text("changed = True\n")
    with pytest.raises(CodeChanged, match=r"sec_pkg/near\.py changed since: start a new process"):
        check_code_current(cfg)
    forget_modules()
    hash_own_code(read_own_config(place, "custom_imports = dict(imports=['sec_root'])"))
    check_code_current(cfg)


def test_other_code_in_another_process_of_a_run_is_refused(place, monkeypatch):
    cfg = read_own_config(place, "custom_imports = dict(imports=['sec_root'])\nmodel = dict(type='X')")
    own = hash_own_code(cfg)
    method = MethodInfo("x", None, None, False, False, False)
    monkeypatch.setattr("proxyclip.engine.evaluation.identity.hash_code", lambda _: "code")
    parts = {f"the code of {name}": digest for name, digest in own.items()} | {"the toolkit's code": "code"}
    check_same_code(cfg, method, RunIdentity("", "", parts, own, "code"))
    parts |= {"the code of sec_root.py": "another"}
    identity = RunIdentity("", "", parts, own, "code")
    assert list_changed_code(cfg, method, identity) == ["the code of sec_root.py"]
    with pytest.raises(CodeChanged, match=r"process 0 in all processes, but the code of sec_root\.py differ"):
        check_same_code(cfg, method, identity)


@pytest.fixture
def own_config(place, own_environment):
    """Config of the dummy world with a module of the user."""
    make_world(place / "world")
    config = place / "cfg_own.py"
    config.write_text(
        "_base_ = 'world/cfg_dummy.py'\ncustom_imports = dict(imports=['helpers.dummy_dataset', 'sec_own'])"
    )
    (place / "sec_own.py").write_text("K = 0\n")
    return config


def test_interrupted_run_whose_code_changed_starts_anew_and_says_why(own_config, tmp_path, capsys):
    fault = ("--save-every", "2", "--cfg-options", "model.fail=late")
    assert evaluate(own_config, tmp_path / "out", *fault) == 1
    assert "images are scored and saved" in capsys.readouterr().err
    (first,) = (tmp_path / "out" / "unfinished").iterdir()
    assert "the code of sec_own.py" in json.loads((first / PARTS_FILE).read_text())["parts"]
    (own_config.parent / "sec_own.py").write_text("K = 12\n")
    assert evaluate(own_config, tmp_path / "out", *fault) == 1
    assert "sec_own.py changed since: start a new process" in capsys.readouterr().err
    forget_modules()
    assert evaluate(own_config, tmp_path / "out", *fault) == 1
    out = capsys.readouterr().out
    assert "counted by an earlier run are not used: the code of sec_own.py changed since (" in out
    assert f"; they are kept in {first}" in out and "going on after" not in out
    (own_config.parent / "sec_own.py").write_text("K = 0\n")
    forget_modules()
    assert evaluate(own_config, tmp_path / "out", *fault) == 1
    out = capsys.readouterr().out
    assert "going on after" in out and "not used" not in out


@pytest.mark.parametrize("content", ["", "[]", '{"parts": 3}', '{"parts": {"model": 1}}', "[" * 100_000, "\0"])
def test_damaged_description_of_an_earlier_run_stops_nothing(tmp_path, content):
    parts = {"model": "a", "the toolkit's code": "b"}
    own, other = tmp_path / "own", tmp_path / "other"
    other.mkdir()
    Journal(other, ["x"], 3, every=1, parts={**parts, "the toolkit's code": "c"}).add(
        {0: (np.arange(1), np.ones(1, int))}
    )
    (other / "a.npz").write_bytes(b"hello")
    explained = explain_unused_counts(own, parts, ["x", "y"])
    reason = "1 image counted by an earlier run is not used: the toolkit's code changed since (c -> b)"
    assert explained == f"{reason}; it is kept in {other}"
    assert explain_unused_counts(own, {**parts, "model": "another"}, ["x"]) is None
    (other / PARTS_FILE).write_text(content)
    assert explain_unused_counts(own, parts, ["x", "y"]) is None


def test_code_that_changes_while_it_runs_is_in_the_record(own_config, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SEC_EDITED", str(own_config.parent / "sec_own.py"))
    (own_config.parent / "sec_own.py").write_text(
        "import os\nfrom pathlib import Path\nfrom mmcv.transforms import BaseTransform\n"
        "from mmseg.registry import TRANSFORMS\n\n\n@TRANSFORMS.register_module(force=True)\n"
        "class SecEdit(BaseTransform):\n    def transform(self, results):\n"
        "        Path(os.environ['SEC_EDITED']).write_text('K = 1')\n        return results\n"
    )
    world = own_config.parent / "world/cfg_dummy.py"
    pack = "dict(type='PackSegInputs')"
    world.write_text(world.read_text().replace(pack, f"dict(type='SecEdit'), {pack}"))
    assert evaluate(own_config, tmp_path / "out", "--no-check") == 0
    assert "warning: the code of sec_own.py has changed since this evaluation began" in capsys.readouterr().err
    (record,) = load_records(tmp_path / "out")
    assert record["changed_code"] == ["the code of sec_own.py"] and "sec_own.py" in record["own_code"]
    assert not (tmp_path / "out" / "unfinished").exists()
