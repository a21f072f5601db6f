"""SC-CLIP: its equations longhand, the whole method on tiny models."""

import math

import numpy as np
import pytest
import torch
from helpers import segmentors as ref

from proxyclip.models.segmentors import sc_clip


def factors_longhand(points, k):
    n = len(points)
    d = [[math.dist(a, b) for b in points] for a in points]
    near = [sorted((j for j in range(n) if j != i), key=lambda j, i=i: d[i][j])[:k] for i in range(n)]
    reach = [d[i][near[i][-1]] for i in range(n)]
    density = [1 / (np.mean([max(reach[j], d[i][j]) for j in near[i]]) + 1e-10) for i in range(n)]
    return np.array([np.mean([density[j] for j in near[i]]) / density[i] for i in range(n)])


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
    return s / s.sum(1, keepdims=True)


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


@pytest.mark.parametrize("n, count", [(1, 0), (19, 0), (20, 1), (60, 3), (99, 4)])
def test_outliers_are_the_largest_factors(n, count):
    points = make_points(3, n, 5)
    got = sc_clip.find_outlier_tokens(torch.tensor(points), 30, 0.05)
    assert got.sum(1).tolist() == [count] * 3
    for mask, window in zip(got.numpy(), points, strict=True):
        if count:
            assert set(np.flatnonzero(mask)) == set(np.argsort(-factors_longhand(window, min(30, n - 1)))[:count])


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
    assert torch.equal(sc_clip.smooth_tokens(torch.ones(1, 3, 2), torch.zeros(1, 3, 4), 1.0), torch.ones(1, 3, 2))


def score_longhand(model, tile, pre, post, multi, cls_weight, k, contamination, threshold, sharpness):
    states, grid = ref.compute_hidden(model, tile)
    block, patches = model.clip.last, [x[1:] for x in states]
    x, n = patches[-1], math.prod(grid)
    outliers = np.zeros(n, dtype=bool)
    outliers[np.argsort(-factors_longhand(x, min(k, n - 1)))[: int(contamination * n)]] = True
    x = replace_longhand(x, outliers, grid)
    q, keys, v = ref.split_heads(block, np.concatenate([states[-1][:1], x]))
    own = ref.project_out(
        block, [ref.softmax(a[:1] @ b.T / math.sqrt(32)) @ c for a, b, c in zip(q, keys, v, strict=True)]
    )
    _, keys, v = ref.split_heads(block, smoothing_weights(patches[pre], threshold) @ x)
    s = ref.normalize(patches[pre]) @ ref.normalize(patches[pre]).T
    content = sharpness * (s - s.mean())
    content = ref.softmax(np.where(content < 0, -np.inf, content))
    weights = [(content + ref.softmax(a @ a.T / math.sqrt(32))) / 2 for a in keys]
    _, _, low = ref.split_heads(block, np.sum([patches[layer] for layer in multi], axis=0))
    y = ref.project_out(block, [p @ a for p, a in zip(weights, v, strict=True)]) + cls_weight * own
    y += ref.project_out(block, [p @ a for p, a in zip(weights, low, strict=True)])
    return ref.compute_cosines(model, smoothing_weights(patches[post], threshold) @ y, grid), outliers.sum()


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
