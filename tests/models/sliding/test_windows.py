"""Windows: positions, coverage, and the matrix form against the step-by-step definition."""

import pytest
import torch
import torch.nn.functional as F

from proxyclip.models.sliding import windows


@pytest.mark.parametrize("length, crop, stride, expected", [
    (336, 336, 112, [0]), (448, 336, 112, [0, 112]), (500, 336, 112, [0, 112, 164]), (5, 336, 112, [0]), (1, 8, 8, [0]),
    (2048, 336, 112, [*range(0, 1713, 112), 1712][:17]),
])  # fmt: skip
def test_compute_window_starts(length, crop, stride, expected):
    assert windows.compute_window_starts(length, crop, stride) == expected


@pytest.mark.parametrize("length", [1, 7, 64, 65, 97, 335])
@pytest.mark.parametrize("crop, stride", [(64, 32), (64, 64), (48, 7)])
def test_windows_cover_every_pixel(length, crop, stride):
    counts = torch.zeros(length)
    for s in windows.compute_window_starts(length, crop, stride):
        assert s >= 0
        assert s + min(crop, length) <= length
        counts[s : s + min(crop, length)] += 1
    assert counts.min() >= 1


@pytest.mark.parametrize("crop, stride", [(64, 0), (64, 65), (-1, 1), (64, -3)])
def test_windows_that_leave_gaps_are_refused(crop, stride):
    with pytest.raises(ValueError, match=f"{stride} and {crop}"):
        windows.check_window_size(crop, stride)


def stitch_longhand(image, crop, stride, multiple, patch, score, size):
    """Window by window with full-size maps: pad, score, upsample, cut the padding off, add, divide, resize."""
    _, h, w = image.shape
    total, count = None, torch.zeros(h, w)
    th, tw = min(crop, h), min(crop, w)
    for y in windows.compute_window_starts(h, crop, stride):
        for x in windows.compute_window_starts(w, crop, stride):
            tile = image[:, y : y + th, x : x + tw]
            ph, pw = -th % multiple, -tw % multiple
            padded = F.pad(tile, (pw // 2, pw - pw // 2, ph // 2, ph - ph // 2))
            up = F.interpolate(score(padded[None]), size=padded.shape[1:], mode="bilinear")[0]
            up = up[:, ph // 2 : ph // 2 + th, pw // 2 : pw // 2 + tw]
            total = torch.zeros(len(up), h, w) if total is None else total
            total[:, y : y + th, x : x + tw] += up
            count[y : y + th, x : x + tw] += 1
    return F.interpolate((total / count)[None], size=size, mode="bilinear")[0]


@pytest.mark.parametrize("shape", [(64, 64), (96, 144), (75, 50), (40, 130), (3, 90), (1, 1)])
@pytest.mark.parametrize("size", [(64, 64), (75, 121), (30, 41), (1, 1)])
@pytest.mark.parametrize("budget", [1, 700, 10**7])
def test_stitch_tiles_equals_longhand(shape, size, budget):
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(3, *shape, generator=generator)
    crop, stride, multiple, patch = 64, 28, 16, 8
    kernel = torch.randn(4, 3, patch, patch, generator=generator) / 14

    def score(tiles):
        return F.conv2d(tiles, kernel, stride=patch)

    rows, columns = windows.plan_windows(shape, crop, stride, multiple)
    tiles = windows.cut_tiles(image, rows, columns)
    assert tiles.shape[2] % multiple == tiles.shape[3] % multiple == 0
    chunks = list(windows.stitch_tiles(score(tiles), rows, columns, size, budget))
    assert budget > 1 or len(chunks) == size[0]
    expected = stitch_longhand(image, crop, stride, multiple, patch, score, size)
    torch.testing.assert_close(torch.cat(chunks, 1), expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("shape, size", [((37, 61), (50, 80)), ((64, 48), (20, 30)), ((32, 32), (32, 32))])
def test_unpadded_windows_drop_the_rest_and_stretch_the_cells(shape, size):
    """With multiple 1: no cell for what is no whole patch, and the cells lie over the whole window."""
    image, patch = torch.rand(3, *shape), 16
    kernel = torch.randn(4, 3, patch, patch) / 14

    def score(tiles):
        return F.conv2d(tiles, kernel, stride=patch)

    whole = windows.plan_windows(shape, 0, 0, 1)
    got = torch.cat(list(windows.stitch_tiles(score(windows.cut_tiles(image, *whole)), *whole, size)), 1)
    torch.testing.assert_close(got, F.interpolate(score(image[None]), size=size, mode="bilinear")[0])
    slide = windows.plan_windows(shape, 30, 20, 1)
    got = torch.cat(list(windows.stitch_tiles(score(windows.cut_tiles(image, *slide)), *slide, size)), 1)
    torch.testing.assert_close(got, stitch_longhand(image, 30, 20, 1, patch, score, size), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("multiple", [1, 16])
@pytest.mark.parametrize("shape, size", [((37, 61), (50, 80)), ((64, 48), (20, 30)), ((5, 90), (9, 90))])
def test_whole_image_through_the_input_size_equals_two_interpolations(shape, size, multiple):
    rows, columns = windows.plan_windows(shape, 0, 0, multiple, upsample_to_input=True, min_tile=16)
    padded = windows.cut_tiles(torch.rand(3, *shape), rows, columns)
    scores = torch.randn(1, 4, padded.shape[2] // 16, padded.shape[3] // 16)
    up = F.interpolate(scores, size=padded.shape[2:], mode="bilinear")
    up = up[:, :, rows.before : rows.before + shape[0], columns.before : columns.before + shape[1]]
    want = F.interpolate(up, size=size, mode="bilinear")[0]
    got = torch.cat(list(windows.stitch_tiles(scores, rows, columns, size)), 1)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
    if rows.padded == rows.tile and columns.padded == columns.tile:  # padded ones always take both steps
        once = torch.cat(list(windows.stitch_tiles(scores, *windows.plan_windows(shape, 0, 0, multiple), size)), 1)
        assert (once - want).abs().max() > 1e-3


@pytest.mark.parametrize("crop", [0, 24])
def test_tiles_are_at_least_a_patch(crop):
    axes = windows.plan_windows((5, 90), crop, 12, 1, min_tile=16)
    tiles = windows.cut_tiles(torch.rand(3, 5, 90), *axes)
    assert tiles.shape[2:] == (16, crop or 90)
