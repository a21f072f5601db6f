"""benchmarks/training.py runs to its end with tiny students; no test looks at the values of its figures."""

import importlib.util
import json
import logging
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from types import SimpleNamespace

import pytest

from proxyclip import register
from proxyclip.utils.paths import ROOT

SCRIPT = ROOT / "benchmarks/training.py"
STEP = ("images a step x side", "images/s", "steps/s", "seconds a step", "step / step with labels")
STEP += ("step / bare networks", "step, --amp / float32")
SPLIT = ("teacher", "student forward", "loss and pseudo labels", "backward", "optimiser", "preparing images")
SIZE = tuple(f"parameters, {of}" for of in ("trained", "CLIP's images", "CLIP's text"))
MEMORY = ("memory before a step", "memory in a step")


@pytest.fixture
def bench(monkeypatch, own_environment):
    """The script as a module, under a name of its own; its children run in this process."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    spec = importlib.util.spec_from_file_location("benchmarks_training", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)

    def run(command: list[str], **_: object) -> SimpleNamespace:
        assert command[:2] == [sys.executable, str(SCRIPT)]
        with redirect_stdout(StringIO()) as output:
            module.main(command[2:])
        return SimpleNamespace(stdout=output.getvalue())

    monkeypatch.setattr(subprocess, "run", run)
    level = logging.getLogger().level  # write_models changes it
    yield module
    logging.getLogger().setLevel(level)


@pytest.mark.slow
def test_training_prints_every_figure_of_every_student(bench, tmp_path, capsys):
    bench.main(["--small", "--device", "cpu", "--json", str(tmp_path / "figures.json")])
    table = capsys.readouterr().out
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert list(figures) == ["deeplab_tiny", "segformer_tiny", "tinyworld"]
    for student, rows in figures.items():
        assert student in table
        values = {row["figure"].strip(): row["value"] for row in rows}
        assert set(values) == {*STEP, *SPLIT, *SIZE, *MEMORY}
        assert sum(values[part] for part in SPLIT) == pytest.approx(100)
        assert all(values[part] > 0 for part in SPLIT)
        assert values["memory before a step"] is None or values["memory before a step"] > 0
    for figure in (*STEP, *SPLIT, *SIZE, *MEMORY):
        assert figure in table
    assert "threads, torch" in table


def test_split_of_labeled_step_has_no_teacher(bench, tmp_path, monkeypatch):
    bench.write_models(tmp_path, small=True)
    register()
    case = bench.Case("segformer_tiny", bench.Setting(tmp_path, bench.torch.device("cpu"), 2, 64, 1, True))
    before = {name: parameter.clone() for name, parameter in case.model.named_parameters()}
    split = bench.Split(case, wrapper := case.wrapper(), case.step(wrapper))
    split()
    split.step = case.step(wrapper, labelled=True)
    split()
    assert [step["teacher"] > 0 for step in split.steps] == [True, False]
    assert all(step["optimiser"] > 0 and step["backward"] > 0 for step in split.steps)
    for name, parameter in case.model.named_parameters():  # so that all steps are the same work
        assert bench.torch.equal(parameter, before[name]), name
