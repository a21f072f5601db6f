"""GLA-CLIP, ResCLIP and SC-CLIP: every equation longhand in float64, whole methods on tiny random models, options."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.reference import arrays, model_config, tensors, write_clip, write_vit
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from safetensors.torch import save_file

from proxyclip.models.attention.naclip import NACLIP
from proxyclip.models.attention.proxy import Proxy
from proxyclip.models.segmentors._options import choose_layers
from proxyclip.models.segmentors.gla import GLACLIPSegmentation, compute_global_attention, shift_queries
from proxyclip.models.segmentors.resclip import (
    ResCLIPSegmentation,
    average_attention_heads,
    compute_semantic_feedback,
    label_connected_regions,
)
from proxyclip.models.segmentors.sc_clip import (
    DEFAULT_LAYERS,
    SCCLIPSegmentation,
    compute_outlier_factors,
    find_outlier_tokens,
    replace_outlier_tokens,
    smooth_tokens,
)
from proxyclip.utils.paths import ROOT

METHODS = {"gla": GLACLIPSegmentation, "resclip": ResCLIPSegmentation, "sc_clip": SCCLIPSegmentation}
SIZES = [(64, 64), (48, 96)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("methods")
    write_clip(root / "clip")
    write_vit(root / "dino", "dino")
    (root / "cls.txt").write_text(str(arrays("text")["syn3_file"]))
    return root


def options(files, method, **changes):
    base = dict(
        clip_type=None, model_type=f"local-dir:{files / 'clip'}", name_path=str(files / "cls.txt"), vfm_model=None,
        slide_crop=64, slide_stride=32, precision="fp32", keep_logits=True,
    )  # fmt: skip
    if method == "gla":
        base["vfm_model"] = dict(type="dino", model=f"local-dir:{files / 'dino'}")
    return base | changes


MODELS_BUILT = {}


def build(files, method, **changes):
    """The model of a method, ready; tests of one file share those they do not change."""
    key = repr((files, method, sorted(changes.items())))
    if key not in MODELS_BUILT:
        MODELS_BUILT[key] = METHODS[method](**options(files, method, **changes))
        MODELS_BUILT[key].prepare(torch.device("cpu"))
    return MODELS_BUILT[key]


def photos(count, h, w, seed=0):
    """Smooth colours with edges, CLIP-normalised (count, 3, h, w)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:h, :w]
    waves = [np.sin(y / rng.uniform(3, 20) + x / rng.uniform(3, 20) + rng.uniform(0, 6)) for _ in range(3 * count)]
    edges = 1.5 * ((x // 16 + y // 24) % 2)
    return torch.from_numpy(np.stack(waves) + edges).float().view(count, 3, h, w)


def step(model, images):
    """Images (3, h, w) -> samples with labels and probabilities."""
    samples = [SegDataSample(metainfo=dict(ori_shape=tuple(x.shape[1:]))) for x in images]
    return model.predict(images, samples)


def close(got, want, atol=2e-5):
    torch.testing.assert_close(torch.as_tensor(got).double(), torch.as_tensor(want).double(), atol=atol, rtol=0)


# Longhand, in numpy float64


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def array(x):
    return x.detach().double().numpy()


def heads(block, x):
    """q, k, v of ln_1(x): (N, C) -> three lists, an array (N, d) a head."""
    x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + block.ln_1.eps)
    x = x * array(block.ln_1.weight) + array(block.ln_1.bias)
    x = x @ array(block.attn.in_proj_weight).T + array(block.attn.in_proj_bias)
    return [np.split(part, block.attn.num_heads, 1) for part in np.split(x, 3, 1)]


def out(block, mixed):
    """Output projection of a list of heads (N, d) -> (N, C)."""
    return np.concatenate(mixed, 1) @ array(block.attn.out_proj.weight).T + array(block.attn.out_proj.bias)


def cosines(model, tokens, grid):
    """Last tokens (h*w, C) -> (names, h, w)."""
    post = model.clip.model.visual.ln_post
    x = (tokens - tokens.mean(1, keepdims=True)) / np.sqrt(tokens.var(1, keepdims=True) + post.eps)
    x = unit((x * array(post.weight) + array(post.bias)) @ array(model.clip.model.visual.proj))
    return (x @ array(model.text).T).T.reshape(-1, *grid)


def hidden(model, tile):
    layers, grid = model.clip.hidden(tile[None])
    return [array(x[0]) for x in layers], grid


def places(grid):
    return [(i, j) for i in range(grid[0]) for j in range(grid[1])]


def gaussian(grid, sigma):
    return np.array(
        [[math.exp(-((a - c) ** 2 + (b - d) ** 2) / (2 * sigma**2)) for c, d in places(grid)] for a, b in places(grid)]
    )


# GLA-CLIP


def gla_weights(query, keys, windows, rho=0.6, rounds=2, beta_scale=0.3, gamma_scale=30.0):
    """Attention of one query to all keys."""
    for _ in range(rounds):
        similar = keys[keys @ query > rho]
        if len(similar):
            query = unit(similar.mean(0))
    s = keys @ query
    beta, gamma = 1 + beta_scale * math.log(1 + windows), 1 + gamma_scale / max(1, sum(s > rho))
    a = (s - beta * max(0.0, s.mean())) * gamma
    a[(a < 0) & (a < a.max())] = -np.inf
    return softmax(a)


def clustered(count, dim=6, seed=0, spread=0.5):
    """Unit vectors around three directions, and one far from all."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, dim))[rng.integers(0, 3, count)] + spread * rng.normal(size=(count, dim))
    x[0] = -x.mean(0)
    return unit(x)


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_gla_moves_queries_to_the_mean_of_similar_keys(rounds):
    keys = clustered(40)
    want = keys[:7]
    for _ in range(rounds):
        want = np.stack([unit(keys[keys @ q > 0.6].mean(0)) for q in want])
    got = shift_queries(torch.tensor(keys[:7]), torch.tensor(keys), 0.6, rounds)
    close(got, want, 1e-12)
    if rounds:
        assert np.abs(want[1:] - keys[1:7]).max() > 0.05


def test_gla_query_without_similar_keys_stays():
    query = torch.tensor([[1.0, 0.0]])
    keys = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    assert torch.equal(shift_queries(query, keys, 0.6, 2), query)


def test_gla_keeps_the_largest_of_a_row_that_is_all_negative():
    s = torch.tensor([[0.2, 0.9, 0.5, 0.1], [0.9, 0.8, 0.9, 0.1]])
    close(compute_global_attention(s, torch.ones(2, 1), 1.0, 2.0), torch.tensor([[0, 1, 0, 0], [0.5, 0, 0.5, 0]]))


def test_gla_subtracts_no_negative_mean():
    s = torch.tensor([[0.5, 0.0, -0.1, -0.9]])
    close(compute_global_attention(s, s.mean(-1, keepdim=True), 1.2, 2.0)[0], [*softmax(np.array([1.0, 0.0])), 0, 0])


@pytest.mark.parametrize("grid", [(5, 5), (3, 8)])
def test_gla_mask_is_that_of_proxy_attention(grid):
    """One window, queries not moved, the paper's constants in place of the dynamic ones."""
    guide = torch.from_numpy(clustered(math.prod(grid))).float().T.reshape(1, -1, *grid)
    features = F.normalize(guide.flatten(2), dim=1)[0].T
    s = shift_queries(features, features, 0.6, 0) @ features.T
    want = Proxy(beta=1.2, gamma=3.0).weights(guide)[0]
    assert (want == 0).any()
    close(compute_global_attention(s, s.mean(), 1.2, 3.0), want)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("changes", [{}, dict(rho=0.8, rounds=1, beta_scale=0.1, gamma_scale=5.0)])
def test_gla_longhand(files, size, changes):
    model = build(files, "gla", **changes)
    tiles = photos(3, *size)
    with torch.no_grad():
        got = model.extract_windows([tiles])[0]
        guide = model.guide(tiles)
        keys = unit(array(guide.flatten(2).mT)).reshape(-1, guide.shape[1])
        values = []
        for tile in tiles:
            layers, (h, w) = hidden(model, tile)
            _, _, v = heads(model.clip.last, layers[-1][1:])
            projected = out(model.clip.last, v)
            maps = F.interpolate(torch.tensor(projected.T.reshape(1, -1, h, w)), size=guide.shape[2:], mode="bilinear")
            values.append(maps[0].flatten(1).T.numpy())
    values, cells = np.concatenate(values), math.prod(guide.shape[2:])
    rows = [gla_weights(query, keys, 3, **changes) for query in keys]
    tokens = np.stack([weights @ values for weights in rows])
    want = [cosines(model, tokens[i * cells : (i + 1) * cells], guide.shape[2:]) for i in range(3)]
    error = (got.double() - torch.tensor(np.stack(want))).abs().amax(1)
    assert (error < 5e-5).double().mean() > 0.97  # a key at rho itself may fall on either side
    share = np.mean(np.stack(rows) == 0)
    assert 0.1 < share < 0.99


def test_gla_shares_windows_of_an_image_and_no_more(files):
    model = build(files, "gla")
    images = list(photos(2, 48, 96))
    for image, sample in zip(images, step(model, images), strict=True):
        close(step(model, [image])[0].seg_logits.data, sample.seg_logits.data)
    one, other = photos(2, 64, 64, seed=1)
    with torch.no_grad():
        together = model.extract_windows([torch.stack([one, other])])[0][0]
        alone = model.extract_windows([one[None]])[0][0]
        assert (together - alone).abs().max() > 1e-2
        close(model.extract_feat(torch.stack([one, other]))[0], alone)


def test_gla_takes_guides_that_are_made_already(files):
    model, tiles = build(files, "gla"), photos(3, 48, 64)
    with torch.no_grad():
        (want,) = model.extract_windows([tiles])
        (got,) = model.extract_windows([tiles], [model.guide(tiles)])
    assert torch.equal(got, want)


def test_gla_groups_and_chunks_change_nothing(files, monkeypatch):
    tiles = photos(5, 48, 64)
    with torch.no_grad():
        want = build(files, "gla", window_batch=5).extract_windows([tiles])[0]
        monkeypatch.setattr("proxyclip.models.segmentors.gla.MAX_ATTENTION_ELEMENTS", 7 * 5 * 48)
        seen = []
        attend = compute_global_attention
        monkeypatch.setattr(
            "proxyclip.models.segmentors.gla.compute_global_attention",
            lambda s, *rest: seen.append(s.numel()) or attend(s, *rest),
        )
        close(build(files, "gla", window_batch=2).extract_windows([tiles])[0], want)
    assert max(seen) <= 7 * 5 * 48
    assert len(seen) > 5


# ResCLIP


def flood(labels):
    """Numbers of 4-connected regions of one label: (h, w) -> (h, w)."""
    h, w = labels.shape
    found = np.zeros((h, w), dtype=int)
    for i, j in places((h, w)):
        if found[i, j]:
            continue
        number, stack = found.max() + 1, [(i, j)]
        while stack:
            a, b = stack.pop()
            if 0 <= a < h and 0 <= b < w and not found[a, b] and labels[a, b] == labels[i, j]:
                found[a, b] = number
                stack += [(a + 1, b), (a - 1, b), (a, b + 1), (a, b - 1)]
    return found


def feedback_longhand(labels, sigma):
    regions, at = flood(labels), places(labels.shape)
    decay = gaussian(labels.shape, sigma)
    return np.array(
        [
            [0 if labels[p] != labels[q] else 1 if regions[p] == regions[q] else decay[i, j] for j, q in enumerate(at)]
            for i, p in enumerate(at)
        ]
    )


@pytest.mark.parametrize("grid", [(6, 6), (4, 9)])
def test_resclip_regions_and_feedback(grid):
    labels = np.random.default_rng(3).integers(0, 3, (4, *grid))
    labels[3] = 2
    got = label_connected_regions(torch.tensor(labels))
    for one, window in zip(got.numpy(), labels, strict=True):
        wanted = flood(window)
        assert len({*zip(one.ravel(), wanted.ravel(), strict=True)}) == wanted.max() == len(np.unique(one))
    assert len(got.unique()) == sum(flood(window).max() for window in labels)
    decay = NACLIP(sigma=2.0).window(grid, grid, torch.device("cpu"))
    want = np.stack([feedback_longhand(window, 2.0) for window in labels])
    assert {0.0, 1.0} < set(want[0].ravel())
    close(compute_semantic_feedback(torch.tensor(labels), decay), want, 1e-6)


def test_resclip_middle_attention_longhand(files):
    model = build(files, "resclip")
    block, x = model.clip.model.visual.transformer.resblocks[1], torch.randn(2, 7, 96)
    for got, one in zip(average_attention_heads(block, x), x, strict=True):
        q, k, _ = heads(block, array(one))
        close(got, np.mean([softmax(a @ b.T / math.sqrt(32)) for a, b in zip(q, k, strict=True)], axis=0)[None])


def resclip_longhand(model, tile, layers, l_r, l_s, sigma):
    states, grid = hidden(model, tile)
    blocks, last, window = model.clip.model.visual.transformer.resblocks, model.clip.last, gaussian(grid, sigma)
    maps = []
    for layer in layers:
        q, k, _ = heads(blocks[layer - 1], states[layer - 1][1:])
        maps += [softmax(a @ b.T / math.sqrt(a.shape[1])) for a, b in zip(q, k, strict=True)]
    residual = np.mean(maps, axis=0)
    _, k, v = heads(last, states[-1][1:])

    def scores(l_s, regions):
        logits = [(1 - l_s) * a @ a.T / math.sqrt(a.shape[1]) + l_s * regions + window for a in k]
        return cosines(
            model,
            out(last, [((1 - l_r) * softmax(s) + l_r * residual) @ b for s, b in zip(logits, v, strict=True)]),
            grid,
        )

    labels = scores(0, 0).argmax(0)
    return scores(l_s, feedback_longhand(labels, sigma)), labels


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("given, l_r, l_s, sigma", [(None, 0.5, 0.7, 5.0), ([1, 2], 0.2, 0.9, 2.0)])
def test_resclip_longhand(files, size, given, l_r, l_s, sigma):
    model = build(files, "resclip", layers=given, residual_weight=l_r, feedback_weight=l_s, sigma=sigma)
    tiles = photos(3, *size)
    with torch.no_grad():
        got = model.extract_feat(tiles)
    labels = []
    for one, tile in zip(got, tiles, strict=True):
        want, found = resclip_longhand(model, tile, given or [2], l_r, l_s, sigma)
        close(one, want)
        labels.append(len(np.unique(found)))
    assert max(labels) > 1


def test_resclip_without_both_is_patches_only_naclip(files):
    model = build(files, "resclip", residual_weight=0.0, feedback_weight=0.0)
    tile = photos(1, 48, 96)
    states, grid = hidden(model, tile[0])
    _, k, v = heads(model.clip.last, states[-1][1:])
    weights = [softmax(a @ a.T / math.sqrt(32) + gaussian(grid, 5.0)) for a in k]
    want = cosines(model, out(model.clip.last, [p @ b for p, b in zip(weights, v, strict=True)]), grid)
    with torch.no_grad():
        close(model.extract_feat(tile)[0], want)


# SC-CLIP


def lof_longhand(points, k):
    n = len(points)
    d = [[math.dist(a, b) for b in points] for a in points]
    near = [sorted((j for j in range(n) if j != i), key=lambda j, i=i: d[i][j])[:k] for i in range(n)]
    reach = [d[i][near[i][-1]] for i in range(n)]
    density = [1 / (np.mean([max(reach[j], d[i][j]) for j in near[i]]) + 1e-10) for i in range(n)]
    return np.array([np.mean([density[j] for j in near[i]]) / density[i] for i in range(n)])


def repair_longhand(tokens, wrong, grid):
    h, w = grid
    fixed = tokens.copy()
    for i, j in places(grid):
        around = [
            a * w + b
            for a in range(max(i - 1, 0), min(i + 2, h))
            for b in range(max(j - 1, 0), min(j + 2, w))
            if not wrong[a * w + b]
        ]
        if wrong[i * w + j] and around:
            fixed[i * w + j] = tokens[around].mean(0)
    return fixed


def rownorm(x, threshold):
    s = unit(x) @ unit(x).T
    s = np.where(s >= threshold, s, 0)
    return s / s.sum(1, keepdims=True)


def cloud(b, n, d, seed=0):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(b, n, d)) * rng.uniform(0.2, 2, (b, n, 1))
    points[:, ::19] *= 6
    return points


@pytest.mark.parametrize("n, k", [(40, 30), (40, 5), (7, 6), (2, 1)])
def test_local_outlier_factor_longhand(n, k):
    points = cloud(2, n, 5)
    got = compute_outlier_factors(torch.tensor(points), k)
    assert got.dtype == torch.float32
    for one, window in zip(got.numpy(), points, strict=True):
        np.testing.assert_allclose(one, lof_longhand(window, k), rtol=1e-4)


def test_local_outlier_factor_is_that_of_scikit_learn():
    neighbors = pytest.importorskip("sklearn.neighbors")
    points = cloud(1, 196, 32)
    want = -neighbors.LocalOutlierFactor(n_neighbors=30).fit(points[0]).negative_outlier_factor_
    np.testing.assert_allclose(compute_outlier_factors(torch.tensor(points), 30)[0], want, rtol=1e-4)


@pytest.mark.parametrize("n, count", [(1, 0), (19, 0), (20, 1), (60, 3), (99, 4)])
def test_outliers_are_the_largest_factors(n, count):
    points = cloud(3, n, 5)
    got = find_outlier_tokens(torch.tensor(points), 30, 0.05)
    assert got.sum(1).tolist() == [count] * 3
    for one, window in zip(got.numpy(), points, strict=True):
        if count:
            assert set(np.flatnonzero(one)) == set(np.argsort(-lof_longhand(window, min(30, n - 1)))[:count])


@pytest.mark.parametrize("grid", [(6, 6), (4, 9), (1, 12)])
def test_repair_longhand(grid):
    rng = np.random.default_rng(1)
    n = math.prod(grid)
    tokens, wrong = rng.normal(size=(2, n, 5)), rng.random((2, n)) < 0.4
    wrong[1] = True
    wrong[1, -1] = False
    got = replace_outlier_tokens(torch.tensor(tokens).float(), torch.tensor(wrong), grid)
    want = np.stack([repair_longhand(t, m, grid) for t, m in zip(tokens, wrong, strict=True)])
    close(got, want, 1e-6)
    assert (want[1] != tokens[1]).any(1).sum() == (1 if 1 in grid else 3)  # the neighbours of the one right corner
    nothing = torch.ones(2, n, dtype=torch.bool)
    assert torch.equal(replace_outlier_tokens(torch.tensor(tokens), nothing, grid), torch.tensor(tokens))


def test_smooth_longhand():
    tokens, like = np.random.default_rng(0).normal(size=(2, 3, 20, 6))
    got = smooth_tokens(torch.tensor(tokens).float(), torch.tensor(like), 0.4)
    close(got, np.stack([rownorm(s, 0.4) @ t for t, s in zip(tokens, like, strict=True)]), 1e-6)
    assert torch.equal(smooth_tokens(torch.ones(1, 3, 2), torch.zeros(1, 3, 4), 1.0), torch.ones(1, 3, 2))


def sc_clip_longhand(model, tile, pre, post, multi, cls_weight, k, contamination, threshold, sharpness):
    states, grid = hidden(model, tile)
    block, patches = model.clip.last, [x[1:] for x in states]
    x, n = patches[-1], math.prod(grid)
    wrong = np.zeros(n, dtype=bool)
    wrong[np.argsort(-lof_longhand(x, min(k, n - 1)))[: int(contamination * n)]] = True
    x = repair_longhand(x, wrong, grid)
    q, keys, v = heads(block, np.concatenate([states[-1][:1], x]))
    own = out(block, [softmax(a[:1] @ b.T / math.sqrt(32)) @ c for a, b, c in zip(q, keys, v, strict=True)])
    x = rownorm(patches[pre], threshold) @ x
    _, keys, v = heads(block, x)
    s = unit(patches[pre]) @ unit(patches[pre]).T
    content = sharpness * (s - s.mean())
    content = softmax(np.where(content < 0, -np.inf, content))
    weights = [(content + softmax(a @ a.T / math.sqrt(32))) / 2 for a in keys]
    y = rownorm(patches[post], threshold) @ (
        out(block, [p @ a for p, a in zip(weights, v, strict=True)]) + cls_weight * own
    )
    _, _, low = heads(block, np.sum([patches[layer] for layer in multi], axis=0))
    y += rownorm(patches[post], threshold) @ out(block, [p @ a for p, a in zip(weights, low, strict=True)])
    return cosines(model, y, grid), wrong.sum()


@pytest.mark.parametrize("size", [(96, 96), (48, 128)])
@pytest.mark.parametrize(
    "changes, longhand",
    [
        ({}, (2, 1, [1, 2], 0.3, 30, 0.05, 0.4, 3.0)),
        (
            dict(pre_layer=1, post_layer=2, multi_layers=[2], cls_weight=1.0, neighbours=4, contamination=0.2)
            | dict(threshold=0.9, sharpness=8.0),
            (1, 2, [2], 1.0, 4, 0.2, 0.9, 8.0),
        ),
    ],
)
def test_sc_clip_longhand(files, size, changes, longhand):
    model = build(files, "sc_clip", **changes)
    tiles = photos(2, *size)
    with torch.no_grad():
        got = model.extract_feat(tiles)
    for one, tile in zip(got, tiles, strict=True):
        want, count = sc_clip_longhand(model, tile, *longhand)
        assert count > 0
        close(one, want)


# All of them


@pytest.mark.parametrize("method", ["resclip", "sc_clip"])
@pytest.mark.parametrize("size", SIZES)
def test_a_window_alone_equals_the_window_in_a_batch(files, method, size):
    model = build(files, method)
    tiles = photos(4, *size)
    with torch.no_grad():
        together = model.extract_feat(tiles)
        alone = torch.cat([model.extract_feat(tile[None]) for tile in tiles])
    close(together, alone)


@pytest.mark.parametrize("method", METHODS)
def test_low_precision(files, method):
    fine, coarse = (build(files, method, precision=p) for p in ("fp32", "bf16"))
    image = photos(1, 64, 96)
    want, got = (step(model, list(image))[0] for model in (fine, coarse))
    assert got.seg_logits.data.dtype == torch.float32
    assert (want.pred_sem_seg.data == got.pred_sem_seg.data).float().mean() > 0.9


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(64, 64), (70, 100), (5, 90)])
def test_uniform_and_odd_images(files, method, size):
    model = build(files, method)
    for image in (torch.full((3, *size), 0.3), photos(1, *size)[0]):
        probabilities = step(model, [image])[0].seg_logits.data
        assert probabilities.shape == (3, *size)
        assert probabilities.isfinite().all()


def layers_of(depth):
    """Where `choose_layers` puts a method's defaults: ResCLIP's, then SC-CLIP's three."""
    of = 12 if depth <= 12 else 24
    ends = [((6, 9), 12), *((each, of) for each in DEFAULT_LAYERS[of])]
    return [choose_layers(None, *each, depth) for each in ends]


def test_layers_are_scaled_to_the_depth():
    assert layers_of(12) == [[6, 7, 8, 9], [9], [4], [4, 5, 6, 7, 8, 9, 10]]
    assert layers_of(24) == [list(range(12, 19)), [16], [6], list(range(8, 20))]
    assert layers_of(32) == [list(range(16, 25)), [21], [8], list(range(11, 26))]
    assert layers_of(4) == [[2, 3], [3], [1], [1, 2, 3]]
    assert layers_of(2) == [[1], [1], [1], [1]]
    assert choose_layers([3, 1], (6, 9), 12, 4) == [3, 1]
    for given, depth in [([0], 4), ([4], 4), ([], 4), ([1.5], 4), (None, 1)]:
        with pytest.raises(ValueError, match=f"from 1 to {depth - 1} of a CLIP with {depth} layers"):
            choose_layers(given, (6, 9), 12, depth)


@pytest.fixture
def deep(tmp_path):
    """How to write the tiny CLIP with its three blocks repeated."""

    def write(depth):
        config = model_config()
        config["vision_cfg"]["layers"] = depth
        stem, state = "visual.transformer.resblocks.", {}
        for key, value in tensors("clip_tiny").items():
            if key.startswith(stem):
                number, rest = key.removeprefix(stem).split(".", 1)
                state |= {f"{stem}{i}.{rest}": value.clone() for i in range(int(number), depth, 3)}
            else:
                state[key] = value
        where = tmp_path / str(depth)
        where.mkdir()
        (where / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
        save_file(state, where / "open_clip_model.safetensors")
        return f"local-dir:{where}"

    return write


@pytest.mark.parametrize("depth, cls_weight", [(4, 0.3), (12, 0.3), (24, 0.1)])
def test_depths_of_whole_models(files, deep, depth, cls_weight):
    name, (middle, pre, post, multi) = deep(depth), layers_of(depth)
    models = [METHODS[method](**options(files, method, model_type=name)) for method in ("resclip", "sc_clip")]
    assert models[0].arguments["layers"] == middle
    found = [models[1].arguments[key] for key in ("pre_layer", "post_layer", "multi_layers", "cls_weight")]
    assert found == [*pre, *post, multi, cls_weight]
    for model in models if depth == 4 else []:
        assert step(model, list(photos(1, 48, 64)))[0].seg_logits.data.isfinite().all()


def test_descriptions(files):
    own = {
        "gla": dict(rho=0.5, rounds=1, beta_scale=0.2, gamma_scale=10.0),
        "resclip": dict(layers=[1, 2], residual_weight=0.4, feedback_weight=0.6, sigma=3.0),
        "sc_clip": dict(pre_layer=1, post_layer=2, multi_layers=[1, 2], cls_weight=0.2, neighbours=9)
        | dict(contamination=0.1, threshold=0.5, sharpness=2.0),
    }
    for method, changes in own.items():
        described = build(files, method, **changes).describe()
        assert {key: described[key] for key in changes} == changes
        assert described["slide_crop"] == 64
        json.dumps(described)
    assert build(files, "resclip", sigma=3.0).describe()["attention"].startswith("NACLIP(sigma=3.0")
    assert build(files, "gla").describe()["attention"] == "None"


@pytest.mark.parametrize(
    "method, changes, message",
    [
        ("gla", dict(vfm_model=None), "GLACLIPSegmentation needs a VFM"),
        ("gla", dict(attention="vanilla"), "attention=None.*'vanilla'"),
        ("gla", dict(attention=dict(type="proxy", beta=1.5)), r"follow from the windows.*'beta': 1\.5"),
        ("gla", dict(gamma=4.0), r"follow from the windows.*'gamma': 4\.0"),
        ("gla", dict(rho=1.0), r"0 <= rho < 1.*1\.0"),
        ("gla", dict(rounds=-1), "rounds.*-1"),
        ("resclip", dict(vfm_model="dino"), r"ResCLIPSegmentation uses no VFM: set vfm_model=None \(--vfm none\)"),
        ("sc_clip", dict(vfm_model="dino"), r"SCCLIPSegmentation uses no VFM: set vfm_model=None \(--vfm none\)"),
        ("resclip", dict(attention="naclip"), "ResCLIPSegmentation .*attention=None, but got 'naclip'"),
        ("sc_clip", dict(attention=dict(type="proxy")), "SCCLIPSegmentation .*attention=None, but got .*proxy"),
        ("resclip", dict(residual_weight=1.1), r"\[0, 1\].*1\.1"),
        ("resclip", dict(sigma=0), "sigma > 0.*0"),
        ("sc_clip", dict(contamination=0.6), r"contamination <= 0\.5.*0\.6"),
        ("sc_clip", dict(neighbours=0), "positive.*neighbours.*0"),
    ],
)
def test_refused_before_weights_are_loaded(files, method, changes, message):
    with pytest.raises(ValueError, match=message):
        METHODS[method](**options(files, method, **dict(model_type="local-dir:nowhere") | changes))


@pytest.mark.parametrize(
    "method, changes",
    [("resclip", dict(layers=[3])), ("sc_clip", dict(pre_layer=3)), ("sc_clip", dict(multi_layers=[0]))],
)
def test_layers_out_of_range(files, method, changes):
    with pytest.raises(ValueError, match="from 1 to 2 of a CLIP with 3 layers"):
        build(files, method, **changes)


@pytest.mark.parametrize("method", METHODS)
def test_configs_build(files, method):
    base = options(files, "gla", attention=dict(type="proxy"), beta=1.2, gamma=3.0)
    changes = Config.fromfile(ROOT / f"configs/method/{method}.py").model
    with DefaultScope.overwrite_default_scope("mmseg"):
        assert type(MODELS.build(base | changes)) is METHODS[method]
    assert METHODS[method].guided == (method == "gla")


@pytest.mark.parametrize("attention", [None, "proxy", dict(type="proxy")])
def test_gla_takes_proxy_by_name(files, attention):
    assert build(files, "gla", attention=attention).attention is None


@pytest.mark.gpu
@pytest.mark.parametrize("method", METHODS)
def test_cuda_equals_cpu(files, method):
    image = photos(1, 96, 128)[0]
    want = step(build(files, method), [image])[0].seg_logits.data
    model = METHODS[method](**options(files, method)).cuda()
    close(step(model, [image.cuda()])[0].seg_logits.data.cpu(), want, 1e-3)
