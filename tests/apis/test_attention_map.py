"""Where a patch looks: the row of the attention map itself, on the pixels it belongs to."""

from __future__ import annotations

import numpy as np
import pytest

from proxyclip import Segmenter
from proxyclip.models.sliding.windows import cut_tiles, plan_windows
from proxyclip.tinyworld.scenes import draw_seeded_scene
from proxyclip.visualization.overlay import draw_attention

TINY = "configs/cfg_tinyworld.py"
PLAIN = ["boat", "sky", "sand", "water"]


@pytest.fixture(scope="module")
def plain():
    return Segmenter(PLAIN, config=TINY)


@pytest.fixture(scope="module")
def picture():
    return draw_seeded_scene(21, 0).image


def looks(mine, picture):
    """Normalised pixels of a picture that is not resized (its short side is 192), and its windows."""
    assert min(picture.shape[:2]) == 192
    inputs = mine._prepared([picture])[0]
    assert inputs.shape[1:] == picture.shape[:2]
    return inputs, plan_windows(inputs.shape[1:], *mine._model.slide, mine._model.pad_multiple)


def weights(mine, inputs, axes, i, j):
    """Attention of all cells of window (i, j): (h, w, h, w)."""
    tile = cut_tiles(inputs, *axes)[i * len(axes[1].starts) + j]
    guide = mine._model.guide(tile[None])
    h, w = guide.shape[2:]
    return mine._model.attention.weights(guide)[0].reshape(h, w, h, w).numpy()


@pytest.fixture(scope="module")
def odd():
    """Windows that are padded, whose last one moves inward."""
    return Segmenter(PLAIN, config=TINY, slide_crop=100, slide_stride=80)


@pytest.mark.parametrize("size", [(192, 250), (301, 192)])
def test_attention_is_the_row_of_its_window(odd, size):
    picture = np.resize(draw_seeded_scene(5, 0).image.repeat(2, 0).repeat(2, 1), (*size, 3))
    inputs, axes = looks(odd, picture)
    cell = axes[0].padded // weights(odd, inputs, axes, 0, 0).shape[0]
    assert axes[0].before > 0
    assert axes[0].padded % cell == 0
    for i, top in enumerate(axes[0].starts):
        for j, left in enumerate(axes[1].starts):
            y, x = 3 if i == 0 else top + 45, left + 52 if j > 0 else 4
            found = odd.attention(picture, x, y)
            assert found.shape == size
            assert found.dtype == np.float32
            outside = np.ones(size, bool)
            outside[top : top + 100, left : left + 100] = False
            assert np.array_equal(np.isnan(found), outside)
            expected = weights(odd, inputs, axes, i, j)
            row = expected[(y - top + axes[0].before) // cell, (x - left + axes[1].before) // cell]
            assert row.sum() == pytest.approx(1, abs=1e-5)
            pixels = row.repeat(cell, 0).repeat(cell, 1)[axes[0].before :, axes[1].before :][:100, :100]
            assert np.array_equal(found[top : top + 100, left : left + 100], pixels)


def test_attention_sums_to_one_over_the_cells(plain):
    picture = np.resize(draw_seeded_scene(6, 0).image.repeat(2, 0).repeat(2, 1), (192, 288, 3))
    _, axes = looks(plain, picture)
    assert axes[0].padded == axes[0].tile == 96  # no padding, which would have a part of the weights
    cell = 96 // weights(plain, *looks(plain, picture), 0, 0).shape[0]
    corners = [(0, 0), (287, 0), (0, 191), (287, 191), (100, 100)]
    for x, y in corners:
        found = plain.attention(picture, x, y)
        assert np.nansum(found) == pytest.approx(cell**2, rel=1e-5)
        assert np.isfinite(found[y, x])
        assert np.nanmin(found) >= 0
        assert (~np.isnan(found)).sum() == 96 * 96


def test_attention_of_resized_and_thin_pictures(plain, picture):
    h, w = picture.shape[:2]
    assert min(h, w) != 192
    for x, y in [(0, 0), (w - 1, 0), (0, h - 1), (w - 1, h - 1)]:
        found = plain.attention(picture, x, y)
        assert found.shape == (h, w)
        assert np.isfinite(found[y, x])
        assert 0 < np.isnan(found).mean() < 1
    for shape, at in [((1, 5000), (4999, 0)), ((5000, 1), (0, 4999)), ((1, 1), (0, 0)), ((3, 2), (1, 2))]:
        found = plain.attention(np.zeros((*shape, 3), np.uint8), *at)
        assert found.shape == shape
        assert found[at[1], at[0]] > 0


def test_attention_with_one_guide_for_the_image(picture):
    """With `approximate.vfm="image"` the map is that of the shared guide, which the windows are scored with."""
    shared = Segmenter(PLAIN, config=TINY, approximate=dict(vfm="image", stride=None), slide_crop=96)
    calls = []
    guide = shared._model.guide
    object.__setattr__(shared._model, "guide", lambda x: calls.append(tuple(x.shape)) or guide(x))
    found = shared.attention(picture, 80, 100)
    assert calls == [(1, 3, 272, 192)]  # the whole picture, once
    assert np.isfinite(found[100, 80])


@pytest.mark.parametrize("at", [(-1, 0), (0, -1), (160, 0), (0, 224), (224, 160), (float("nan"), 0)])
def test_attention_of_a_pixel_outside(plain, picture, at):
    assert picture.shape[:2] == (224, 160)
    with pytest.raises(ValueError, match="inside the picture of 160 x 224"):
        plain.attention(picture, *at)


@pytest.mark.parametrize(
    ("method", "vfm"), [("sclip", "none"), ("gla", "tiny"), ("naclip", "tiny"), ("vanilla", "none")]
)
def test_methods_without_proxy_attention(picture, method, vfm):
    mine = Segmenter(PLAIN, config=TINY, method=method, vfm=vfm)
    with pytest.raises(ValueError, match="--method proxy"):
        mine.attention(picture, 5, 5)


def test_attention_follows_tune(plain, picture):
    before = plain.attention(picture, 30, 50)
    plain.tune(beta=0.2)
    wider = plain.attention(picture, 30, 50)
    plain.tune(beta=1.2)
    assert (wider > 0).sum() > (before > 0).sum()
    assert np.array_equal(plain.attention(picture, 30, 50), before, equal_nan=True)


def test_attention_can_be_drawn(plain, picture):
    """The window is not one colour."""
    values = plain.attention(picture, 30, 50)
    drawn = draw_attention(picture, values, (30, 50))
    assert drawn.shape == picture.shape
    inside = ~np.isnan(values)
    high, low = values >= np.nanmax(values), inside & (values == 0)
    assert drawn[high].mean() > drawn[low].mean() + 30
