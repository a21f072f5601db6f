"""Colors of classes: distinct, and independent of the number of classes."""

import numpy as np
import pytest

from proxyclip.visualization.palette import CLASS_PALETTE, _to_lab, assign_palette_slots, class_colors


def test_class_colors_begin_with_the_palette():
    assert ["#" + bytes(color).hex() for color in class_colors(26)[:24].tolist()] == list(CLASS_PALETTE)


@pytest.mark.parametrize("count", [1, 24, 25, 256, 847])
@pytest.mark.parametrize("background", [False, True])
def test_class_colors_differ(count, background):
    colors = class_colors(count, background)
    assert colors.shape == (count, 3) and colors.dtype == np.uint8
    assert len({*map(tuple, colors.tolist())}) == count
    assert np.array_equal(colors, class_colors(900, background)[:count])  # whatever the number of classes
    if background:
        assert np.array_equal(colors[1:], class_colors(count)[: count - 1])
        assert np.ptp(colors[0].astype(int)) < 16  # gray


def test_class_colors_of_no_and_of_many_classes():
    assert class_colors(0).shape == (0, 3)
    assert class_colors(3000).shape == (3000, 3)


def test_class_colors_beyond_the_palette_are_far_apart():
    places = _to_lab(class_colors(64))
    apart = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e3 * np.eye(64)
    assert apart[24:].min() > 14  # two just noticeable differences are 5
    assert places[24:, 0].min() > 25 and places[24:, 0].max() < 95  # none black, none white


def test_assign_palette_slots_repeats_no_free_slot():
    assert len(set(assign_palette_slots(range(24)).values())) == 24
    assert assign_palette_slots([3, 27]) == {3: 3, 27: 4}  # 27 would take the place of 3
    assert len(assign_palette_slots(range(60))) == 60
