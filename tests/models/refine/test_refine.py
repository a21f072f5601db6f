"""Refinement: the area threshold against the published code's arrays and at its edges, and deciding on labels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.reference import arrays, check, differences

from proxyclip.models.refine import build_refine_steps
from proxyclip.models.refine.area import Area
from proxyclip.models.refine.pamr import PAMR
from proxyclip.models.registry import build_plugin, list_plugins
from proxyclip.models.sliding.postprocess import labels_from_probabilities, max_over_synonyms, scores_to_labels

SCLIP = "sclip_slide_smooth96x144_c64_s32"


def same(maps):
    return maps


def never(maps):
    raise AssertionError("labels were decided without the probabilities that were asked for")


def published(scale):
    """Class probabilities from the stored score map of SCLIP's attention."""
    scores = torch.from_numpy(arrays(SCLIP)["csa_slide_logits"][0])
    return max_over_synonyms((scores * scale).softmax(0), torch.from_numpy(arrays("text")["syn3_idx"]), 3)


def scene(*pixels, size=10):
    """Class probabilities (classes, 1, size): class c is best, and the next class second, in pixels[c] pixels."""
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate(pixels)])
    assert len(labels) == size
    out = torch.full((len(pixels), 1, size), 0.1)
    out[(labels + 1) % len(pixels), 0, torch.arange(size)] = 0.3
    out[labels, 0, torch.arange(size)] = 0.6
    return out


def counts(probabilities):
    return probabilities.argmax(0).flatten().bincount(minlength=len(probabilities)).tolist()


@pytest.mark.parametrize("threshold", [0.0, 0.1])
@pytest.mark.parametrize("area", [0.1, 0.33, 0.5])
def test_area_equals_the_published_code(area, threshold):
    labels, kept = scores_to_labels([published(65)], same, never, None, [Area(area)], threshold, keep=True)
    key = f"csa_scale65_area{area}_thd{threshold}"
    check(kept, SCLIP, f"{key}_seg_logits", 5e-5)
    assert differences(labels, SCLIP, f"{key}_seg_pred").max() == 0
    assert (int((kept[2] > 0).sum()) == 0) == (area == 0.5)  # class 2 has 37 % of the foreground, class 1 the rest


def test_no_step_equals_the_published_code():
    labels, kept = scores_to_labels([published(40)], same, never, None, (), 0.0, keep=True)
    check(kept, SCLIP, "csa_seg_logits", 2e-5)
    assert differences(labels, SCLIP, "csa_seg_pred").max() == 0


@pytest.mark.parametrize("threshold, expected", [(0.0, [2, 1, 3, 4]), (0.12, [2, 1, 3, 4]), (0.125, [2, 0, 4, 4])])
def test_a_share_equal_to_the_threshold_is_dropped(threshold, expected):
    """Class 1 has one of eight foreground pixels; the pixel goes to its second best class."""
    assert counts(Area(threshold)(scene(2, 1, 3, 4), None)) == expected


def test_background_is_never_dropped_and_counts_for_nothing():
    assert counts(Area(0.1)(scene(1, 9), None)) == [1, 9]
    assert counts(Area(0.1)(scene(98, 1, 1, size=100), None)) == [98, 1, 1]


def test_without_foreground_nothing_changes():
    probabilities = scene(10, 0, 0)
    assert torch.equal(Area(0.5)(probabilities, None), probabilities)


def test_all_foreground_too_small_leaves_background():
    refined = Area(0.5)(scene(4, 3, 3), None)
    assert counts(refined) == [10, 0, 0]
    assert refined[1:].max() == 0


@pytest.mark.parametrize("shape", [(1, 3, 5), (2, 1, 1), (5, 7, 4)])
def test_shapes_and_types_stay(shape):
    probabilities = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    before = probabilities.clone()
    refined = Area(0.3)(probabilities, torch.zeros(3, 8, 8))
    assert (refined.shape, refined.dtype) == (shape, torch.float32)
    assert torch.equal(probabilities, before)
    assert torch.equal(refined[0], before[0])
    assert ((refined == before) | (refined == 0)).all()


@pytest.mark.parametrize("threshold", [-0.1, 10, float("nan")])
def test_threshold_is_a_share(threshold):
    with pytest.raises(ValueError, match="from 0 to 1"):
        Area(threshold)
    with pytest.raises(ValueError, match="from 0 to 1"):
        replace(Area(), threshold=threshold)


def test_steps_of_a_config():
    assert build_refine_steps(None) == build_refine_steps([]) == ()
    assert build_refine_steps(["area", {"type": "area", "threshold": 0.2}]) == (Area(0.1), Area(0.2))
    assert build_refine_steps("area") == build_refine_steps({"type": "area"}) == (Area(),)
    with pytest.raises(ValueError, match=r"one of .*'area'.*for refine.*, but got 'aera'.*mean 'area'"):
        build_refine_steps(["aera"])
    with pytest.raises(TypeError, match=r"'Area' has no option \['thd'\].*'threshold'"):
        build_refine_steps([{"type": "area", "thd": 0.1}])


def test_none_is_no_step():
    assert build_refine_steps("none") == build_refine_steps(["none"]) == ()
    assert build_refine_steps(["none", "area"]) == (Area(),)


def test_steps_on_scores_come_first():
    assert build_refine_steps(["pamr", "area"]) == (PAMR(), Area())
    assert build_refine_steps(["area", {"type": "pamr", "on": "probabilities"}]) == (Area(), PAMR(on="probabilities"))
    with pytest.raises(ValueError, match=r"on scores before those on probabilities, but got \[Area.*PAMR"):
        build_refine_steps(["area", "pamr"])


def test_every_file_is_a_step():
    image = torch.zeros(3, 10, 16)
    for name in list_plugins("refine"):
        step = build_plugin("refine", name)
        assert step.on in ("scores", "probabilities")
        assert step(scene(4, 3, 3).expand(-1, 6, -1), image).shape == (3, 6, 10)
        assert repr(step).startswith(type(step).__name__)


@pytest.mark.parametrize("keep", [False, True])
def test_decide_takes_strips_one_by_one_or_all(keep):
    """Without steps strips are decided as they come; steps see the whole image and run in their order."""
    whole = torch.rand(4, 9, 5, generator=torch.Generator().manual_seed(1))
    best, wanted = whole.max(0)
    wanted = wanted.masked_fill(best < 0.7, 0)
    labels, kept = scores_to_labels(
        iter(whole.split(2, 1)), same, lambda strip: labels_from_probabilities(strip, 0.7), None, (), 0.7, keep
    )
    assert torch.equal(labels, wanted)
    assert labels.dtype == torch.int64
    assert torch.equal(kept, whole) if keep else kept is None

    seen = []

    def double(probabilities, image):
        seen.append((probabilities.shape, image))
        return probabilities * 2

    def halve_one(probabilities, image):
        return (probabilities > 1) / 2

    double.on = halve_one.on = "probabilities"
    labels, kept = scores_to_labels(iter(whole.split(2, 1)), same, never, "image", [double, halve_one], 0.0, keep)
    assert torch.equal(labels, ((whole > 0.5) / 2).argmax(0))
    assert torch.equal(kept, (whole > 0.5) / 2) if keep else kept is None
    assert seen == [((4, 9, 5), "image")]


def test_steps_on_scores_run_before_the_softmax():
    """They see the score maps of the whole image, once; what follows sees what they return."""
    scores = torch.rand(4, 9, 5, generator=torch.Generator().manual_seed(1))
    seen = []

    def turn(maps, image):
        seen.append((maps.clone(), image))
        return -maps

    def soft(maps):
        return maps.softmax(0)

    turn.on = "scores"
    labels, kept = scores_to_labels(iter(scores.split(2, 1)), soft, never, "image", [turn], 0.0, keep=True)
    ((maps, image),) = seen
    assert torch.equal(maps, scores)
    assert image == "image"
    torch.testing.assert_close(kept, (-scores).softmax(0))
    assert torch.equal(labels, scores.argmin(0))
