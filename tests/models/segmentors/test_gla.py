"""GLA-CLIP: its equations longhand, the whole method on tiny models."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import segmentors as ref

from proxyclip.models.attention.proxy import Proxy
from proxyclip.models.segmentors.gla import compute_global_attention, shift_queries


def weights_longhand(own, keys, windows, rho=0.6, rounds=2, beta_scale=0.3, gamma_scale=30.0):
    """Attention of one query, which starts as its own key, to all keys."""
    query, count = own, sum(keys @ own > rho)
    for _ in range(rounds):
        similar = keys[keys @ query > rho]
        query, count = (ref.normalize(similar.mean(0)), len(similar)) if len(similar) else (own, 1)
    s = keys @ query
    beta, gamma = 1 + beta_scale * math.log(1 + windows), 1 + gamma_scale / max(1, count)
    a = (s - beta * max(0.0, s.mean())) * gamma
    a[(a < 0) & (a < a.max())] = -np.inf
    return ref.softmax(a)


def make_clusters(count, dim=6, seed=0, spread=0.5):
    """Unit vectors around three directions, and one far from all."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, dim))[rng.integers(0, 3, count)] + spread * rng.normal(size=(count, dim))
    x[0] = -x.mean(0)
    return ref.normalize(x)


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_shift_queries_moves_to_the_mean_of_similar_keys(rounds):
    keys = make_clusters(40)
    want, counts = keys[:7], [sum(keys @ q > 0.6) for q in keys[:7]]
    for _ in range(rounds):
        counts = [sum(keys @ q > 0.6) for q in want]  # of the last move, not after it
        want = np.stack([ref.normalize(keys[keys @ q > 0.6].mean(0)) for q in want])
    moved, count = shift_queries(torch.tensor(keys[:7]), torch.tensor(keys), 0.6, rounds)
    ref.assert_close(moved, want, 1e-12)
    assert count[:, 0].tolist() == counts
    if rounds:
        assert np.abs(want[1:] - keys[1:7]).max() > 0.05


def test_a_query_without_similar_keys_is_its_own_key_again():
    own = torch.tensor([[1.0, 0.0]])
    moved, count = shift_queries(own, torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), 0.6, 2)
    assert torch.equal(moved, own)
    assert count.tolist() == [[1]]
    angles = torch.tensor([0.0, 50.0, -50.0, 52.0, -52.0, 54.0, -54.0]) / 180 * torch.pi
    keys = torch.stack([angles.cos(), angles.sin()], 1)
    lost = F.normalize(keys[[1, 2]].sum(0, keepdim=True), dim=1)
    assert torch.equal(shift_queries(lost, keys[3:], 0.63, 3)[0], lost)


def test_global_attention_keeps_the_largest_of_a_negative_row():
    s = torch.tensor([[0.2, 0.9, 0.5, 0.1], [0.9, 0.8, 0.9, 0.1]])
    ref.assert_close(compute_global_attention(s, torch.ones(2, 1), 1.0, 2.0), [[0, 1, 0, 0], [0.5, 0, 0.5, 0]])


def test_global_attention_subtracts_no_negative_mean():
    s = torch.tensor([[0.5, 0.0, -0.1, -0.9]])
    weights = compute_global_attention(s, s.mean(-1, keepdim=True), 1.2, 2.0)[0]
    ref.assert_close(weights, [*ref.softmax(np.array([1.0, 0.0])), 0, 0])


@pytest.mark.parametrize("grid", [(5, 5), (3, 8)])
def test_global_attention_of_one_window_is_proxy_attention(grid):
    """Queries not moved, the paper's constants in place of the dynamic ones."""
    guide = torch.from_numpy(make_clusters(math.prod(grid))).float().T.reshape(1, -1, *grid)
    features = F.normalize(guide.flatten(2), dim=1)[0].T
    s = shift_queries(features, features, 0.6, 0)[0] @ features.T
    want = Proxy(beta=1.2, gamma=3.0).weights(guide)[0]
    assert (want == 0).any()
    ref.assert_close(compute_global_attention(s, s.mean(), 1.2, 3.0), want)


@pytest.mark.parametrize("size", [(64, 64), (48, 96)])
@pytest.mark.parametrize("changes", [{}, dict(rho=0.8, rounds=1, beta_scale=0.1, gamma_scale=5.0)])
def test_extract_windows_equals_longhand(files, size, changes):
    model = ref.build_method(files, "gla", **changes)
    tiles = ref.make_images(3, *size)
    with torch.no_grad():
        got = model.extract_windows([tiles])[0]
        guide = model.guide(tiles)
        keys = ref.normalize(ref.to_array(guide.flatten(2).mT)).reshape(-1, guide.shape[1])
        values = []
        for tile in tiles:
            layers, (h, w) = ref.compute_hidden(model, tile)
            _, _, v = ref.split_heads(model.clip.last, layers[-1][1:])
            maps = torch.tensor(ref.project_out(model.clip.last, v).T.reshape(1, -1, h, w))
            maps = F.interpolate(maps, size=guide.shape[2:], mode="bilinear")
            values.append(maps[0].flatten(1).T.numpy())
    weights = np.stack([weights_longhand(query, keys, 3, **changes) for query in keys])
    tokens = np.split(weights @ np.concatenate(values), 3)
    want = [ref.compute_cosines(model, part, guide.shape[2:]) for part in tokens]
    error = (got.double() - torch.tensor(np.stack(want))).abs().amax(1)
    assert (error < 5e-5).double().mean() > 0.97  # a key at rho itself may be on either side
    assert 0.1 < np.mean(weights == 0) < 0.99


def test_windows_are_shared_within_an_image_only(files):
    model = ref.build_method(files, "gla")
    images = list(ref.make_images(2, 48, 96))
    for image, sample in zip(images, ref.predict_samples(model, images), strict=True):
        ref.assert_close(ref.predict_samples(model, [image])[0].seg_logits.data, sample.seg_logits.data)
    tiles = ref.make_images(2, 64, 64, seed=1)
    with torch.no_grad():
        together = model.extract_windows([tiles])[0][0]
        alone = model.extract_windows([tiles[:1]])[0][0]
        assert (together - alone).abs().max() > 1e-2
        ref.assert_close(model.extract_feat(tiles)[0], alone)


def test_extract_windows_accepts_computed_guides(files):
    model, tiles = ref.build_method(files, "gla"), ref.make_images(3, 48, 64)
    with torch.no_grad():
        (want,) = model.extract_windows([tiles])
        (got,) = model.extract_windows([tiles], [model.guide(tiles)])
    assert torch.equal(got, want)


def test_groups_and_chunks_change_nothing(files, monkeypatch):
    tiles = ref.make_images(5, 48, 64)
    with torch.no_grad():
        want = ref.build_method(files, "gla", window_batch=5).extract_windows([tiles])[0]
        monkeypatch.setattr("proxyclip.models.segmentors.gla.MAX_ATTENTION_ELEMENTS", 7 * 5 * 48)
        sizes = []
        monkeypatch.setattr(
            "proxyclip.models.segmentors.gla.compute_global_attention",
            lambda s, *rest: sizes.append(s.numel()) or compute_global_attention(s, *rest),
        )
        ref.assert_close(ref.build_method(files, "gla", window_batch=2).extract_windows([tiles])[0], want)
    assert max(sizes) <= 7 * 5 * 48
    assert len(sizes) > 5


@pytest.mark.parametrize("attention", [None, "proxy", dict(type="proxy")])
def test_attention_may_be_proxy_by_name(files, attention):
    assert ref.build_method(files, "gla", attention=attention).attention is None
