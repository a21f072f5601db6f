"""PAMR against the published code's arrays and longhand."""

import pytest
import torch
import torch.nn.functional as F
from helpers.reference import arrays, check

from proxyclip.models.refine.pamr import PAMR

ALONE = "sclip_pamr"


@pytest.mark.parametrize("steps", [1, 10])
@pytest.mark.parametrize("dilations", [(8, 16), (1, 2, 4)])
@pytest.mark.parametrize("size", ["small", "full"])
def test_pamr_equals_the_published_code(steps, dilations, size):
    stored = arrays(ALONE)
    mask, x = torch.from_numpy(stored[f"mask_{size}"]), torch.from_numpy(stored["x"])
    mask = F.interpolate(mask, size=x.shape[2:], mode="bilinear", align_corners=True)
    out = PAMR(steps, dilations)(mask[0], x[0])
    name = f"steps{steps}_dil{'_'.join(map(str, dilations))}_out_{size}"
    check(out[None], ALONE, name, 1e-5 if (steps, dilations, size) == (1, (1, 2, 4), "full") else 2e-5)


def test_pamr_of_a_constant_image_equals_the_published_code():
    stored = arrays(ALONE)
    out = PAMR()(torch.from_numpy(stored["mask_full"][0]), torch.full((3, 48, 70), 0.3))
    check(out[None], ALONE, "const_image_out", 1e-6)


def test_pamr_equals_longhand():
    """One step with dilation 2 at a corner and inside, pixel by pixel, channel by channel."""
    torch.manual_seed(0)
    x, maps = torch.rand(3, 7, 9), torch.rand(2, 7, 9)
    out = PAMR(1, [2])(maps, x)
    for row, column in ((0, 0), (3, 4), (6, 8)):
        around = [(row + 2 * dy, column + 2 * dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        around = [(min(max(y, 0), 6), min(max(a, 0), 8)) for y, a in around]
        neighbors = around[:4] + around[5:]
        total = torch.zeros(8)
        for channel in x:
            spread = torch.stack([channel[p] for p in around]).std()
            total -= torch.stack([(channel[p] - channel[row, column]).abs() for p in neighbors]) / (0.1 * spread)
        weights = (total / 3).softmax(0)
        for before, after in zip(maps, out, strict=True):
            wanted = sum(w * before[p] for w, p in zip(weights, neighbors, strict=True))
            torch.testing.assert_close(after[row, column], wanted)


def test_pamr_of_one_map_at_a_time_is_the_same(monkeypatch):
    torch.manual_seed(0)
    x, maps = torch.rand(3, 12, 20), torch.rand(5, 18, 15)
    before = maps.clone()
    together = PAMR()(maps, x)
    assert torch.equal(maps, before)
    monkeypatch.setattr("proxyclip.models.refine.pamr.MAX_GROUP_ELEMENTS", {"cpu": 1, "cuda": 1})
    torch.testing.assert_close(PAMR()(maps, x), together)
    assert torch.equal(PAMR(0)(maps, x), maps)


@pytest.mark.parametrize("options", [dict(steps=-1), dict(dilations=()), dict(dilations=[0]), dict(on="labels")])
def test_pamr_refuses_bad_options(options):
    with pytest.raises(ValueError, match=r"Expected .* but got"):
        PAMR(**options)
