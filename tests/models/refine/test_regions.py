"""Specks and holes of label maps, against a longhand flood fill."""

import numpy as np
import pytest
import torch

from proxyclip.models.refine import build_refine_steps
from proxyclip.models.refine.regions import Regions, find_regions, measure_borders
from proxyclip.models.sliding import postprocess


def parse(text):
    return torch.tensor([[int(character) for character in line] for line in text.split()])


def format_labels(labels):
    return "\n".join("".join(map(str, row)) for row in labels.tolist())


def fill(labels, start):
    """Pixels of the region of a pixel, by their sides, and of its border: [(outside pixel, ...)]."""
    region, border, waiting = {start}, [], [start]
    while waiting:
        y, x = waiting.pop()
        for pixel in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if not (0 <= pixel[0] < labels.shape[0] and 0 <= pixel[1] < labels.shape[1]) or pixel in region:
                continue
            if labels[pixel] != labels[start]:
                border.append(pixel)
            else:
                region.add(pixel)
                waiting.append(pixel)
    return region, border


def clean_longhand(labels, min_region, min_hole):
    """The smallest region that is too small, of equal ones the first of the smallest label, goes; then again."""
    labels = labels.copy()
    while True:
        candidates, visited = [], set()
        for start in np.ndindex(*labels.shape):
            if start in visited:
                continue
            region, border = fill(labels, start)
            visited |= region
            if border and len(region) < (min_hole if labels[start] == 0 else min_region):
                candidates.append((len(region), int(labels[start]), start, region, border))
        if not candidates:
            return labels
        _, _, _, region, border = min(candidates, key=lambda candidate: candidate[:3])
        lengths = np.bincount([labels[pixel] for pixel in border])
        for pixel in region:
            labels[pixel] = lengths.argmax()


def test_specks_and_holes_go_to_the_longest_border():
    labels = parse("""
        00000111111
        00200111011
        00000111111
        00003111111
    """)
    expected = parse("""
        00000111111
        00000111111
        00000111111
        00000111111
    """)
    assert format_labels(Regions(3, 3)(labels)) == format_labels(expected)
    assert Regions(3, 0)(labels)[1, 8] == 0  # the hole stays
    assert Regions(0, 3)(labels).unique().tolist() == [0, 1, 2, 3]  # the specks stay


def test_longest_border_wins_and_ties_go_to_the_smallest_label():
    labels = parse("""
        1111
        1312
        2222
        2222
    """)
    assert Regions(2, 2)(labels)[1].tolist() == [1, 1, 1, 2]  # three sides are of class 1
    corner = parse("22211 23311 22211")  # a corner counts for nothing: five sides are of class 2, one of 1
    assert Regions(3, 3)(corner).tolist() == parse("22211 22211 22211").tolist()
    assert Regions(2, 0)(parse("22311")).tolist() == [[2, 2, 1, 1, 1]]


def test_regions_touch_at_sides_only():
    labels = parse("""
        1000
        0100
        0000
    """)
    assert Regions(2, 0)(labels).unique().tolist() == [0]
    assert Regions(1, 0)(labels).equal(labels)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("sizes", [(4, 4), (6, 2), (0, 5), (200, 200)])
def test_regions_equal_longhand(seed, sizes):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, (4, 5)).repeat(2, 0).repeat(2, 1)[:7, :10]
    labels = np.where(generator.random(labels.shape) < 0.2, generator.integers(0, 4, labels.shape), labels)
    cleaned = Regions(*sizes)(torch.from_numpy(labels)).numpy()
    regions, region_labels = find_regions(cleaned)
    smallest = np.bincount(regions.ravel())
    minimum = np.where(region_labels == 0, sizes[1], sizes[0])
    assert ((smallest >= minimum) | (len(smallest) == 1)).all()
    if max(sizes) < 7:  # among equally small regions the order may matter
        assert (cleaned == clean_longhand(labels, *sizes)).mean() > 0.85


def test_one_speck_at_a_time_equals_longhand():
    for seed in range(20):
        generator = np.random.default_rng(seed)
        labels = generator.integers(0, 3, (2, 3)).repeat(6, 0).repeat(7, 1)
        y, x = generator.integers(0, labels.shape[0] - 1), generator.integers(0, labels.shape[1] - 2)
        labels[y : y + 2, x : x + 2] = 3
        cleaned = Regions(5, 5)(torch.from_numpy(labels)).numpy()
        np.testing.assert_array_equal(cleaned, clean_longhand(labels, 5, 5))


def test_find_regions_and_borders_are_those_of_a_flood_fill():
    labels = np.random.default_rng(3).integers(0, 3, (9, 13))
    regions, region_labels = find_regions(labels)
    assert (region_labels[regions] == labels).all()
    borders = measure_borders(regions, len(region_labels))
    for start in np.ndindex(*labels.shape):
        region, border = fill(labels, start)
        assert {tuple(pixel) for pixel in np.argwhere(regions == regions[start])} == region
        neighbors, lengths = np.unique([regions[pixel] for pixel in border], return_counts=True)
        assert borders[regions[start]] == dict(zip(neighbors.tolist(), lengths.tolist(), strict=True))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (5, 8)])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_regions_keep_shape_type_and_input(shape, dtype):
    labels = torch.randint(0, 3, shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    before = labels.clone()
    cleaned = Regions(1000, 1000)(labels, torch.zeros(3, 8, 8))
    assert (cleaned.shape, cleaned.dtype) == (shape, dtype)
    assert torch.equal(labels, before)
    assert len(cleaned.unique()) == 1


def test_regions_are_the_same_every_time():
    labels = torch.randint(0, 5, (40, 60), generator=torch.Generator().manual_seed(0))
    assert Regions()(labels).equal(Regions()(labels.clone()))


@pytest.mark.parametrize("options", [dict(min_region=-1), dict(min_hole=2.5), dict(min_region=True)])
def test_regions_refuse_other_sizes(options):
    with pytest.raises(ValueError, match=r"Expected min_\w+ of regions in pixels.*but got"):
        Regions(**options)


def test_label_steps_come_after_the_threshold():
    """A speck of background by the threshold is filled; the probabilities stay."""
    probabilities = torch.zeros(3, 6, 9)
    probabilities[1] = 0.9
    probabilities[1, 2, 3:5] = 0.4
    probabilities[2, 4, 4] = 0.95
    probabilities[2, 2, 3] = 0.3
    for steps, wrong in ((("regions:min_region=2:min_hole=3",), 0), ((), 3)):
        labels, kept = postprocess.scores_to_labels(
            probabilities.split(2, 1), torch.clone, lambda chunk: postprocess.labels_from_probabilities(chunk, 0.5),
            None, build_refine_steps(steps), 0.5, True,
        )  # fmt: skip
        assert int((labels != 1).sum()) == wrong
        assert kept.equal(probabilities)
        without, nothing = postprocess.scores_to_labels(
            probabilities.split(2, 1), None, lambda chunk: postprocess.labels_from_probabilities(chunk, 0.5),
            None, build_refine_steps(steps), 0.5, False,
        )  # fmt: skip
        assert without.equal(labels) and nothing is None
