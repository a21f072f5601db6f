"""How far an evaluation is: on standard error, and in the file that a grid reads."""

import json

import pytest
from helpers.dummy_dataset import evaluate, make_world

pytestmark = pytest.mark.usefixtures("own_environment")


def test_the_file_for_a_program_that_waits(tmp_path, monkeypatch, capsys):
    config, note = make_world(tmp_path / "world"), tmp_path / "how_far.json"
    monkeypatch.setenv("PROXYCLIP_PROGRESS", str(note))
    assert evaluate(config, tmp_path, "--cfg-options", "model.fail=late") == 1  # at the fourth of seven
    assert not note.exists() or json.loads(note.read_text())["done"] < 7
    assert evaluate(config, tmp_path) == 0
    state = json.loads(note.read_text())
    assert (state["done"], state["total"]) == (7, 7) and state["images_per_second"] > 0
    assert "7/7 images" in capsys.readouterr().err
    assert [path.name for path in tmp_path.glob("*how_far*")] == ["how_far.json"]


def test_a_file_that_cannot_be_written_stops_nothing(tmp_path, monkeypatch):
    config = make_world(tmp_path / "world")
    monkeypatch.setenv("PROXYCLIP_PROGRESS", str(tmp_path / "no" / "such" / "folder.json"))
    assert evaluate(config, tmp_path) == 0
