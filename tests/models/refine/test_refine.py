"""Refinement steps of a config, and their contract."""

import pytest
import torch

from proxyclip.models.refine import build_refine_steps
from proxyclip.models.refine.area import Area
from proxyclip.models.refine.pamr import PAMR
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
    with pytest.raises(ValueError, match=r"on scores before those on probabilities, but got \[Area.*PAMR"):
        build_refine_steps(["area", "pamr"])


def test_every_step_keeps_the_contract():
    image = torch.zeros(3, 10, 16)
    for name in list_plugins("refine"):
        step = build_plugin("refine", name)
        assert step.on in ("scores", "probabilities")
        assert step(torch.rand(3, 6, 10), image).shape == (3, 6, 10)
        assert repr(step).startswith(type(step).__name__)
