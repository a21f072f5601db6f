"""The area threshold at its edges; test_sclip_config compares it with the published code."""

from dataclasses import replace

import pytest
import torch

from proxyclip.models.refine.area import Area


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
