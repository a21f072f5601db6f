"""Refinement steps of a config, and their contract."""

import pytest
import torch

from proxyclip.models.refine import STAGES, build_refine_steps
from proxyclip.models.refine.area import Area
from proxyclip.models.refine.pamr import PAMR
from proxyclip.models.refine.regions import Regions
from proxyclip.models.registry import build_plugin, list_plugins


def test_build_refine_steps_accepts_names_and_dicts():
    assert build_refine_steps(None) == build_refine_steps([]) == build_refine_steps("none") == ()
    assert build_refine_steps(["none", "area"]) == (Area(),)
    assert build_refine_steps(["area", {"type": "area", "threshold": 0.2}]) == (Area(0.1), Area(0.2))
    assert build_refine_steps("area") == build_refine_steps({"type": "area"}) == (Area(),)
    with pytest.raises(ValueError, match=r"one of .*'area'.*for refine.*, but got 'aera'.*mean 'area'"):
        build_refine_steps(["aera"])
    with pytest.raises(TypeError, match=r"'Area' has no option \['thd'\].*'threshold'"):
        build_refine_steps([{"type": "area", "thd": 0.1}])


def test_build_refine_steps_requires_steps_on_scores_first():
    assert build_refine_steps(["pamr", "area"]) == (PAMR(), Area())
    assert build_refine_steps(["area", {"type": "pamr", "on": "probabilities"}]) == (Area(), PAMR(on="probabilities"))
    for order in (["area", "pamr"], ["regions", "pamr"], ["regions", "area"]):
        with pytest.raises(ValueError, match=r"on scores before those on probabilities.*but got \[\w+\("):
            build_refine_steps(order)
    assert build_refine_steps(["pamr", "area", "regions"]) == (PAMR(), Area(), Regions())


def test_build_refine_steps_refuses_unknown_stages(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(
        "from dataclasses import dataclass\n\n\n@dataclass(frozen=True)\nclass Own:\n    on: str = 'masks'\n"
    )
    with pytest.raises(ValueError, match=r"one of scores, probabilities, labels, but got .*'masks'"):
        build_refine_steps(str(file))


def test_build_refine_steps_parses_options():
    assert build_refine_steps("regions:min_region=400:min_hole=50") == (Regions(400, 50),)
    assert build_refine_steps(["pamr:steps=3:dilations=[4, 8]", "area:threshold=0.2"]) == (PAMR(3, (4, 8)), Area(0.2))
    assert build_refine_steps("pamr:on=probabilities") == (PAMR(on="probabilities"),)
    with pytest.raises(TypeError, match=r"'Regions' has no option \['region'\]"):
        build_refine_steps("regions:region=4")
    with pytest.raises(ValueError, match=r"but got 'region'.*mean 'regions'"):
        build_refine_steps("region:min_hole=4")


def test_every_step_keeps_the_contract():
    image = torch.zeros(3, 10, 16)
    for name in list_plugins("refine"):
        step = build_plugin("refine", name)
        assert step.on in STAGES
        maps = torch.randint(0, 3, (6, 10)) if step.on == "labels" else torch.rand(3, 6, 10)
        assert step(maps, image).shape == maps.shape
        assert repr(step).startswith(type(step).__name__)
