"""SC-CLIP: its equations longhand, the whole method on tiny models."""

import math

import numpy as np
import pytest
import torch
from helpers import segmentors as ref

from proxyclip.models.segmentors import sc_clip


def factors_longhand(points, k):
    n = len(points)
    d = [[math.dist(a, b) ** 2 for b in points] for a in points]
    near = [sorted((j for j in range(n) if j != i), key=lambda j, i=i: d[i][j])[:k] for i in range(n)]
    density = [k / d[i][near[i][-1]] for i in range(n)]
    return np.array([np.mean([density[j] / density[i] for j in near[i]]) for i in range(n)])


def outliers_longhand(points, k, contamination):
    """Points strictly above the quantile, interpolated linearly between the ordered factors."""
    factors = factors_longhand(points, min(k, len(points) - 1))
    ordered, position = sorted(factors), (1 - contamination) * (len(points) - 1)
    low = math.floor(position)
    high = min(low + 1, len(points) - 1)
    return factors > ordered[low] + (position - low) * (ordered[high] - ordered[low])


def replace_longhand(tokens, outliers, grid):
    replaced = tokens.copy()
    for n, (i, j) in enumerate(ref.list_cells(grid)):
        near = [
            m for m, (a, b) in enumerate(ref.list_cells(grid)) if max(abs(a - i), abs(b - j)) <= 1 and not outliers[m]
        ]
        if outliers[n] and near:
            replaced[n] = tokens[near].mean(0)
    return replaced


def smoothing_weights(x, threshold):
    s = ref.normalize(x) @ ref.normalize(x).T
    s = np.where(s >= threshold, s, 0)
    return s / (s.sum(1, keepdims=True) + 1e-6)


def make_points(b, n, d, seed=0):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(b, n, d)) * rng.uniform(0.2, 2, (b, n, 1))
    points[:, ::19] *= 6
    return points


@pytest.mark.parametrize("n, k", [(40, 30), (40, 5), (7, 6), (2, 1)])
def test_local_outlier_factors_equal_longhand(n, k):
    points = make_points(2, n, 5)
    got = sc_clip.compute_outlier_factors(torch.tensor(points), k)
    assert got.dtype == torch.float32
    for factors, window in zip(got.numpy(), points, strict=True):
        np.testing.assert_allclose(factors, factors_longhand(window, k), rtol=1e-4)


@pytest.mark.parametrize("n, count", [(1, 0), (2, 1), (45, 3), (49, 3), (60, 3), (99, 5)])
def test_outliers_lie_above_the_quantile(n, count):
    points = make_points(3, n, 5)
    got = sc_clip.find_outlier_tokens(torch.tensor(points), 30, 0.05)
    if n > 2:
        assert got.sum(1).tolist() == [count] * 3 == [math.ceil(0.05 * (n - 1))] * 3
        for mask, window in zip(got.numpy(), points, strict=True):
            assert (mask == outliers_longhand(window, 30, 0.05)).all()
    else:
        assert got.sum(1).max() <= count
    assert not sc_clip.find_outlier_tokens(torch.tensor(points), 30, 0.0).any()


def test_equal_points_are_no_outliers():
    factors = sc_clip.compute_outlier_factors(torch.ones(1, 40, 5), 30)
    assert torch.equal(factors, torch.ones(1, 40))
    assert not sc_clip.find_outlier_tokens(torch.ones(1, 40, 5), 30, 0.05).any()


@pytest.mark.parametrize("grid", [(6, 6), (4, 9), (1, 12)])
def test_replace_outlier_tokens_equals_longhand(grid):
    rng = np.random.default_rng(1)
    n = math.prod(grid)
    tokens, outliers = rng.normal(size=(2, n, 5)), rng.random((2, n)) < 0.4
    outliers[1] = True
    outliers[1, -1] = False
    got = sc_clip.replace_outlier_tokens(torch.tensor(tokens).float(), torch.tensor(outliers), grid)
    want = np.stack([replace_longhand(t, m, grid) for t, m in zip(tokens, outliers, strict=True)])
    ref.assert_close(got, want, 1e-6)
    assert (want[1] != tokens[1]).any(1).sum() == (1 if 1 in grid else 3)  # the neighbors of the one valid corner
    everything = torch.ones(2, n, dtype=torch.bool)
    assert torch.equal(sc_clip.replace_outlier_tokens(torch.tensor(tokens), everything, grid), torch.tensor(tokens))


def test_smooth_tokens_equals_longhand():
    tokens, features = np.random.default_rng(0).normal(size=(2, 3, 20, 6))
    got = sc_clip.smooth_tokens(torch.tensor(tokens).float(), torch.tensor(features), 0.4)
    ref.assert_close(
        got, np.stack([smoothing_weights(s, 0.4) @ t for t, s in zip(tokens, features, strict=True)]), 1e-6
    )
    alone = sc_clip.smooth_tokens(torch.ones(1, 3, 2), torch.zeros(1, 3, 4), 1.0)
    assert torch.equal(alone, torch.zeros(1, 3, 2))  # features of zeros are like nothing, and give no NaN


def score_longhand(model, tile, pre, post, multi, cls_weight, k, contamination, threshold, sharpness):
    states, grid = ref.compute_hidden(model, tile)
    block, x = model.clip.last, states[-1]
    outliers = outliers_longhand(x[1:], k, contamination)
    repaired, features = (replace_longhand(tokens[1:], outliers, grid) for tokens in (x, states[pre]))
    s = ref.normalize(features) @ ref.normalize(features).T
    content = sharpness * (s - s.mean())
    content = ref.softmax(np.where(content < 0, -np.inf, content))

    def attend(tokens):
        _, keys, v = ref.split_heads(block, tokens)
        weights = [(content + ref.softmax(a @ a.T / math.sqrt(32))) / 2 for a in keys]
        return ref.project_out(block, [p @ a for p, a in zip(weights, v, strict=True)])

    total = np.sum([states[layer] for layer in multi], axis=0)
    smooth_post = smoothing_weights(states[post][1:], threshold)
    first = smooth_post @ (attend(smoothing_weights(features, threshold) @ repaired) + cls_weight * x[0])
    second = smooth_post @ (attend(total[1:]) + cls_weight * total[0])
    return ref.compute_cosines(model, first + second, grid), outliers.sum()


@pytest.mark.parametrize("size", [(96, 96), (48, 128)])
@pytest.mark.parametrize("changes, longhand", [
    ({}, (2, 1, [1, 2], 0.3, 30, 0.05, 0.4, 3.0)),
    (dict(pre_layer=1, post_layer=2, multi_layers=[2], cls_weight=1.0, neighbours=4, contamination=0.2, threshold=0.9,
          sharpness=8.0), (1, 2, [2], 1.0, 4, 0.2, 0.9, 8.0)),
])  # fmt: skip
def test_extract_feat_equals_longhand(files, size, changes, longhand):
    model = ref.build_method(files, "sc_clip", **changes)
    tiles = ref.make_images(2, *size)
    with torch.no_grad():
        got = model.extract_feat(tiles)
    for scores, tile in zip(got, tiles, strict=True):
        want, count = score_longhand(model, tile, *longhand)
        assert count > 0
        ref.assert_close(scores, want)
