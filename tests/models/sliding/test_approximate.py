"""Shortcuts that change numbers: features, and names for the record."""

import pytest
import torch
import torch.nn.functional as F

from proxyclip.models.sliding.approximate import ApproximateOptions, interpolate_window_features
from proxyclip.models.sliding.windows import cut_tiles, plan_windows


def test_names_list_the_shortcuts_taken():
    assert ApproximateOptions().names == []
    assert ApproximateOptions(vfm="image", stride=224).names == ["vfm=image", "stride=224"]
    with pytest.raises(ValueError, match=r"window, image.*'never'"):
        ApproximateOptions(vfm="never")


def average_patches(tiles):
    """A VFM whose features are the mean of its 4 x 4 patches."""
    return F.avg_pool2d(tiles, 4)


@pytest.mark.parametrize(("size", "crop", "stride"), [((40, 56), 24, 8), ((24, 24), 24, 24), ((37, 50), 22, 9)])
def test_features_of_a_linear_image_are_those_of_its_windows(size, crop, stride):
    """Every window's features are known, except at the border, where the map ends."""
    y, x = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    image = torch.stack([y, x, torch.ones_like(x)])
    grid = plan_windows(size, crop, stride, 4)
    (parts,) = interpolate_window_features(average_patches, [image], [grid], 4)
    want = average_patches(cut_tiles(image, *grid))
    assert parts.shape == want.shape
    inner = (want[:, 2] == 1) & (want[:, 0] > 4) & (want[:, 0] < size[0] - 4)
    inner &= (want[:, 1] > 4) & (want[:, 1] < size[1] - 4)
    if size == (24, 24):  # one window, the whole image: nothing is interpolated
        assert torch.equal(parts, want)
    assert inner.sum() > 10
    for channel in (0, 1):
        torch.testing.assert_close(parts[:, channel][inner], want[:, channel][inner], atol=1e-4, rtol=0)


def test_images_have_features_of_their_own():
    images = [torch.rand(3, 24, 40), torch.rand(3, 32, 24)]
    grids = [plan_windows(tuple(x.shape[1:]), 24, 8, 4) for x in images]
    both = interpolate_window_features(average_patches, images, grids, 4)
    for image, grid, got in zip(images, grids, both, strict=True):
        torch.testing.assert_close(got, interpolate_window_features(average_patches, [image], [grid], 4)[0])
        torch.testing.assert_close(
            got, average_patches(cut_tiles(image, *grid))
        )  # the stride is a multiple of the patch


def test_coarser_map_gives_fewer_cells():
    """SAM has 64 x 64 cells whatever the image: a window gets its share of them."""
    image = torch.rand(3, 32, 64)
    (parts,) = interpolate_window_features(
        lambda tile: torch.rand(len(tile), 5, 8, 8), [image], [plan_windows((32, 64), 32, 16, 4)], 4
    )
    assert parts.shape == (3, 5, 8, 4)
