"""Values of environment variables reach a config as they are, whatever their signs."""

import os
from pathlib import Path

import pytest

from proxyclip.engine.config.load import merge_config
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.config.reading import read_config
from proxyclip.utils.paths import ROOT

FOLDERS = [
    r"C:\Users\me",
    r"\\server\new\table",
    "it's",
    'a "b" c',
    "tab\there",
    "line\nbreak",
    "{{x}}",
    "ü/天 空",
    r"\1\g<0>",
]


@pytest.mark.parametrize("folder", FOLDERS, ids=range(len(FOLDERS)))
@pytest.mark.parametrize("by_option", [True, False])
def test_data_root_may_have_any_signs(monkeypatch, folder, by_option):
    monkeypatch.delenv("DATA_ROOT", raising=False)
    if not by_option:
        monkeypatch.setenv("DATA_ROOT", folder)
    cfg = read_config(ROOT / "configs/cfg_folder.py", folder if by_option else None)
    assert cfg.model.name_path == f"{folder}/classes.txt"
    assert cfg.test_dataloader.dataset.data_root == folder
    assert os.environ.get("DATA_ROOT") == (None if by_option else folder)


def test_other_variables_of_a_config_and_its_own_folder(monkeypatch, tmp_path):
    folder = tmp_path / "it's \\new"
    folder.mkdir()
    config = folder / "cfg.py"
    config.write_text('a = ["{{$MY_ROOT:none}}/x", ("{{$MY_ROOT:none}}",)]\nb = {"{{$OTHER:none}}": 1}\n')
    monkeypatch.setenv("MY_ROOT", 'C:\\new "folder"')
    cfg = read_config(config)
    assert cfg.a == ['C:\\new "folder"/x', ('C:\\new "folder"',)]
    assert cfg.b == {"none": 1}
    assert Path(cfg.filename) == config


def test_an_empty_variable_is_none(monkeypatch):
    monkeypatch.setenv("DATA_ROOT", "")
    cfg = merge_config(EvalOptions("configs/cfg_folder.py"))
    assert cfg.test_dataloader.dataset.data_root == "data/folder"
