"""The area threshold against the published code's arrays and at its edges."""

from dataclasses import replace

import pytest
import torch
from helpers.reference import arrays, check, differences

from proxyclip.models.refine.area import Area
from proxyclip.models.sliding.postprocess import max_over_synonyms, scores_to_labels

SCLIP = "sclip_slide_smooth96x144_c64_s32"


def published_probabilities(scale):
    """Class probabilities from the stored score map of SCLIP's attention."""
    scores = torch.from_numpy(arrays(SCLIP)["csa_slide_logits"][0])
    return max_over_synonyms((scores * scale).softmax(0), torch.from_numpy(arrays("text")["syn3_idx"]), 3)


def make_probabilities(*pixels, size=10):
    """Class probabilities (classes, 1, size): class c is best, and the next class second, in pixels[c] pixels."""
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate(pixels)])
    assert len(labels) == size
    out = torch.full((len(pixels), 1, size), 0.1)
    out[(labels + 1) % len(pixels), 0, torch.arange(size)] = 0.3
    out[labels, 0, torch.arange(size)] = 0.6
    return out


def count_labels(probabilities):
    return probabilities.argmax(0).flatten().bincount(minlength=len(probabilities)).tolist()


@pytest.mark.parametrize("threshold", [0.0, 0.1])
@pytest.mark.parametrize("area", [0.1, 0.33, 0.5])
def test_area_equals_the_published_code(area, threshold):
    labels, kept = scores_to_labels(
        [published_probabilities(65)], torch.clone, None, None, [Area(area)], threshold, keep=True
    )
    key = f"csa_scale65_area{area}_thd{threshold}"
    check(kept, SCLIP, f"{key}_seg_logits", 5e-5)
    assert differences(labels, SCLIP, f"{key}_seg_pred").max() == 0
    assert (int((kept[2] > 0).sum()) == 0) == (area == 0.5)  # class 2 has 37 % of the foreground, class 1 the rest


def test_no_step_equals_the_published_code():
    labels, kept = scores_to_labels([published_probabilities(40)], torch.clone, None, None, (), 0.0, keep=True)
    check(kept, SCLIP, "csa_seg_logits", 2e-5)
    assert differences(labels, SCLIP, "csa_seg_pred").max() == 0


@pytest.mark.parametrize("threshold, expected", [(0.0, [2, 1, 3, 4]), (0.12, [2, 1, 3, 4]), (0.125, [2, 0, 4, 4])])
def test_class_with_a_share_equal_to_the_threshold_is_dropped(threshold, expected):
    """Class 1 has one of eight foreground pixels; the pixel goes to its second best class."""
    assert count_labels(Area(threshold)(make_probabilities(2, 1, 3, 4), None)) == expected


def test_background_is_neither_dropped_nor_counted():
    assert count_labels(Area(0.1)(make_probabilities(1, 9), None)) == [1, 9]
    assert count_labels(Area(0.1)(make_probabilities(98, 1, 1, size=100), None)) == [98, 1, 1]


def test_image_without_foreground_is_unchanged():
    probabilities = make_probabilities(10, 0, 0)
    assert torch.equal(Area(0.5)(probabilities, None), probabilities)


def test_all_classes_dropped_leave_background():
    refined = Area(0.5)(make_probabilities(4, 3, 3), None)
    assert count_labels(refined) == [10, 0, 0]
    assert refined[1:].max() == 0


@pytest.mark.parametrize("shape", [(1, 3, 5), (2, 1, 1), (5, 7, 4)])
def test_area_keeps_shape_type_and_input(shape):
    probabilities = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    before = probabilities.clone()
    refined = Area(0.3)(probabilities, torch.zeros(3, 8, 8))
    assert (refined.shape, refined.dtype) == (shape, torch.float32)
    assert torch.equal(probabilities, before)
    assert torch.equal(refined[0], before[0])
    assert ((refined == before) | (refined == 0)).all()


@pytest.mark.parametrize("threshold", [-0.1, 10, float("nan")])
def test_threshold_must_be_a_share(threshold):
    with pytest.raises(ValueError, match="from 0 to 1"):
        Area(threshold)
    with pytest.raises(ValueError, match="from 0 to 1"):
        replace(Area(), threshold=threshold)
