"""Attention map of a pixel: a row of the attention on the pixels of its window."""

import numpy as np
import pytest

from proxyclip import Segmenter
from proxyclip.models.sliding.windows import cut_tiles, plan_windows
from proxyclip.tinyworld.scenes import draw_seeded_scene

TINY = "configs/cfg_tinyworld.py"
CLASSES = ["boat", "sky", "sand", "water"]


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter(CLASSES, config=TINY)


@pytest.fixture(scope="module")
def image():
    return draw_seeded_scene(21, 0).image


def windows(segmenter, image):
    """Inputs (3, h, w) of an image of short side 192, not resized, and its windows."""
    inputs = segmenter._prepared([image])[0]
    assert inputs.shape[1:] == image.shape[:2]
    return inputs, plan_windows(inputs.shape[1:], *segmenter._model.slide, segmenter._model.pad_multiple)


def window_attention(segmenter, inputs, axes, i, j):
    """Attention of all cells of window (i, j): (h, w, h, w)."""
    tile = cut_tiles(inputs, *axes)[i * len(axes[1].starts) + j]
    guide = segmenter._model.guide(tile[None])
    h, w = guide.shape[2:]
    return segmenter._model.attention.weights(guide)[0].reshape(h, w, h, w).numpy()


@pytest.fixture(scope="module")
def padded():
    """Segmenter of padded windows, whose last one moves inward."""
    return Segmenter(CLASSES, config=TINY, slide_crop=100, slide_stride=80)


@pytest.mark.parametrize("size", [(192, 250), (301, 192)])
def test_attention_is_the_row_of_its_window(padded, size):
    image = np.resize(draw_seeded_scene(5, 0).image.repeat(2, 0).repeat(2, 1), (*size, 3))
    inputs, axes = windows(padded, image)
    cell = axes[0].padded // window_attention(padded, inputs, axes, 0, 0).shape[0]
    assert axes[0].before > 0 and axes[0].padded % cell == 0
    for i, top in enumerate(axes[0].starts):
        for j, left in enumerate(axes[1].starts):
            y = 3 if i == 0 else top + 45
            x = left + 52 if j > 0 else 4
            attention = padded.attention(image, x, y)
            assert attention.shape == size and attention.dtype == np.float32
            outside = np.ones(size, bool)
            outside[top : top + 100, left : left + 100] = False
            assert np.array_equal(np.isnan(attention), outside)
            expected = window_attention(padded, inputs, axes, i, j)
            row = expected[(y - top + axes[0].before) // cell, (x - left + axes[1].before) // cell]
            assert row.sum() == pytest.approx(1, abs=1e-5)
            pixels = row.repeat(cell, 0).repeat(cell, 1)[axes[0].before :, axes[1].before :][:100, :100]
            assert np.array_equal(attention[top : top + 100, left : left + 100], pixels)


def test_attention_sums_to_one_over_the_cells(segmenter):
    image = np.resize(draw_seeded_scene(6, 0).image.repeat(2, 0).repeat(2, 1), (192, 288, 3))
    inputs, axes = windows(segmenter, image)
    assert axes[0].padded == axes[0].tile == 96  # no padding, which would have a part of the weights
    cell = 96 // window_attention(segmenter, inputs, axes, 0, 0).shape[0]
    for x, y in [(0, 0), (287, 0), (0, 191), (287, 191), (100, 100)]:
        attention = segmenter.attention(image, x, y)
        assert np.nansum(attention) == pytest.approx(cell**2, rel=1e-5)
        assert np.isfinite(attention[y, x]) and np.nanmin(attention) >= 0
        assert (~np.isnan(attention)).sum() == 96 * 96


def test_attention_of_resized_and_thin_images(segmenter, image):
    h, w = image.shape[:2]
    assert min(h, w) != 192
    for x, y in [(0, 0), (w - 1, 0), (0, h - 1), (w - 1, h - 1)]:
        attention = segmenter.attention(image, x, y)
        assert attention.shape == (h, w)
        assert np.isfinite(attention[y, x]) and 0 < np.isnan(attention).mean() < 1
    for size, (x, y) in [((1, 5000), (4999, 0)), ((5000, 1), (0, 4999)), ((1, 1), (0, 0)), ((3, 2), (1, 2))]:
        attention = segmenter.attention(np.zeros((*size, 3), np.uint8), x, y)
        assert attention.shape == size and attention[y, x] > 0


def test_attention_uses_the_vfm_features_of_the_whole_image(image):
    shared = Segmenter(CLASSES, config=TINY, approximate=dict(vfm="image", stride=None), slide_crop=96)
    shapes = []
    guide = shared._model.guide
    object.__setattr__(shared._model, "guide", lambda x: shapes.append(tuple(x.shape)) or guide(x))
    assert np.isfinite(shared.attention(image, 80, 100)[100, 80])
    assert shapes == [(1, 3, 272, 192)]  # the whole image, once


@pytest.mark.parametrize("pixel", [(-1, 0), (0, -1), (160, 0), (0, 224), (float("nan"), 0)])
def test_attention_refuses_pixels_outside(segmenter, image, pixel):
    with pytest.raises(ValueError, match="inside the picture of 160 x 224"):
        segmenter.attention(image, *pixel)


@pytest.mark.parametrize(("method", "vfm"), [("sclip", "none"), ("gla", "tiny"), ("naclip", "tiny")])
def test_attention_needs_proxy_attention(image, method, vfm):
    segmenter = Segmenter(CLASSES, config=TINY, method=method, vfm=vfm)
    with pytest.raises(ValueError, match="--method proxy"):
        segmenter.attention(image, 5, 5)


def test_attention_follows_tune(segmenter, image):
    before = segmenter.attention(image, 30, 50)
    wider = segmenter.fork().tune(beta=0.2).attention(image, 30, 50)
    assert (wider > 0).sum() > (before > 0).sum()
    assert np.array_equal(segmenter.attention(image, 30, 50), before, equal_nan=True)
