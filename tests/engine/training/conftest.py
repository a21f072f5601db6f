"""Trainings of helpers.learner, in a folder of the module."""

import pytest
from helpers.learner import CONFIG, train_learner
from mmengine.config import Config


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    (folder / "cfg_learner.py").write_text(CONFIG.replace("DATA", str(folder / "data")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # another number rounds otherwise; and it is safe to fork
        patch.setattr(Config, "pretty_text", "")  # it is half of the time of a run as short as these
        yield folder


@pytest.fixture
def place(world, own_environment, monkeypatch):
    monkeypatch.chdir(world)


@pytest.fixture(scope="module")
def whole(world) -> str:
    """Work dir of an uninterrupted training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(world)
        assert train_learner("whole", "--no-eval") == 0
    return "whole"
