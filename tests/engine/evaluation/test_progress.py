"""Progress of an evaluation: on standard error, and in the file that a sweep reads."""

import json

import pytest
from helpers.dummy_dataset import evaluate, make_world

pytestmark = pytest.mark.usefixtures("own_environment")


@pytest.mark.slow
def test_progress_file_holds_the_last_state(tmp_path, monkeypatch, capsys):
    config = make_world(tmp_path / "world")
    file = tmp_path / "progress.json"
    monkeypatch.setenv("PROXYCLIP_PROGRESS", str(file))
    assert evaluate(config, tmp_path, "--cfg-options", "model.fail=late") == 1  # at the fourth of seven
    assert not file.exists() or json.loads(file.read_text())["done"] < 7
    assert evaluate(config, tmp_path) == 0
    state = json.loads(file.read_text())
    assert (state["done"], state["total"]) == (7, 7) and state["images_per_second"] > 0
    assert "7/7 images" in capsys.readouterr().err
    assert [path.name for path in tmp_path.glob("*progress*")] == ["progress.json"]


def test_unwritable_progress_file_stops_no_run(tmp_path, monkeypatch):
    config = make_world(tmp_path / "world")
    monkeypatch.setenv("PROXYCLIP_PROGRESS", str(tmp_path / "no" / "such" / "folder.json"))
    assert evaluate(config, tmp_path) == 0
