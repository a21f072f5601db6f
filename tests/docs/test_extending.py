"""docs/extending.md: its files are written to a folder and its commands run there, as they stand."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from helpers.run_command import call, commands, enter
from PIL import Image

from proxyclip.utils.paths import ROOT

TEXT = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
FILES = {
    **dict(re.findall(r"```python\n(?:# (my/\w+\.py)\n)(.*?)```", TEXT, re.DOTALL)),
    **dict(re.findall(r"`(my/[\w.]+)`:\n\n```text\n(.*?)```", TEXT, re.DOTALL)),
}
PLUG_INS = ("my/nearest.py", "my/colours.py", "my/blur.py", "my/mirror.py", "my/probe.py")
SMALL = ("--cfg-options", "model.slide_crop=96", "model.slide_stride=48")  # of the tiny CLIP on larger pictures
# Beginning of a command -> method and VFM of its record.
RUNS = {
    "python eval.py --method my/nearest8.py": ("nearest", "none"),
    "python eval.py --limit 2 --cfg-options model.vfm_model=None": ("nearest", "none"),
    "python eval_all.py": ("nearest", "none"),
    "python eval.py --vfm my/colours.py": ("proxy", "my/colours.py"),
    "python eval.py --method naclip --vfm my/colours.py": ("naclip", "my/colours.py"),
    "python eval.py --limit 2 --cfg-options model.refine": ("proxy", "tiny"),
    "python datasets/check.py": None,
    "python eval.py --config my/cfg_shapes.py": ("proxy", "my/colours.py"),
    "python eval.py --limit 2 --cfg-options model.type": ("mirror", "tiny"),
    "python train.py my/cfg_probe.py": ("probe", "none"),
    "python eval.py --config my/cfg_probe.py": ("probe", "none"),
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """The repository's entries, the files of the document below `my`, and three pictures as its data set."""
    folder = tmp_path_factory.mktemp("desk")
    for path in ROOT.iterdir():
        if path.name not in {".git", ".venv", "work_dirs", "data"}:
            (folder / path.name).symlink_to(path)
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    draw = np.random.default_rng(0)
    for i in range(3):
        labels = np.kron(draw.integers(0, 3, (3, 4)), np.ones((24, 24), int))[: 60 + i]
        image = (
            np.array([[60, 140, 40], [200, 40, 40], [240, 240, 240]])[labels]
            + draw.integers(-20, 15, labels.shape)[..., None]
        )
        for kind, values in (("images", image), ("labels", labels)):
            place = folder / "my_data/shapes" / kind
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values.astype(np.uint8)).save(place / f"{i}.png")
    return folder


def test_all_files_are_there_and_short():
    short = {"my/nearest.py": 40, "my/colours.py": 25, "my/blur.py": 40, "my/mirror.py": 25, "my/nearest8.py": 4}
    short |= {"my/probe.py": 45, "my/cfg_probe.py": 25}
    assert sorted(FILES) == sorted([*short, "my/cfg_shapes.py", "my/cls_shapes.txt"])
    for name, lines in short.items():
        assert len(FILES[name].splitlines()) + 1 < lines, name  # and the line with its name


@pytest.mark.parametrize("command", commands(TEXT))
def test_command(desk, monkeypatch, command, capfd):
    begins = [start for start in RUNS if command.startswith(start)]
    expected = RUNS[max(begins, key=len)]
    enter(monkeypatch, desk)
    assert call(monkeypatch, command, *(SMALL if "--clip" in command else ())) == 0, "".join(capfd.readouterr())
    named = {name for name in PLUG_INS if name in command or (name == "my/nearest.py" and "my/nearest8" in command)}
    if expected is not None:
        found = [(run["method"], vfm(run)) for run in records(desk) if named <= run["files"].keys()]
        assert expected in found


def records(desk):
    return [json.loads(path.read_text()) for path in sorted((desk / "work_dirs/records").glob("*.json"))]


def vfm(run):
    return (run["arguments"].get("vfm_model") or {}).get("type", "none")


def test_every_command_is_known():
    assert len(commands(TEXT)) == len(RUNS) == 11


def test_the_options_of_a_file_are_in_the_record(desk):
    runs = records(desk)
    attentions = {run["arguments"].get("attention") for run in runs}
    assert {"Nearest(neighbours=8)", "Nearest(neighbours=32)"} < attentions
    assert any("Blur(radius=3)" in run["arguments"].get("refine", ()) for run in runs)
    (shapes,) = [run for run in runs if run["config_name"] == "cfg_shapes"]
    assert [row["name"] for row in shapes["per_class"]] == ["meadow", "disc", "box"]
    assert shapes["dataset"]["images"] == 3
    trained = [run["trained"] for run in runs if run["method"] == "probe"]
    assert trained and all(one["iteration"] == 30 for one in trained)
