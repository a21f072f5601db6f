"""ResCLIP: its equations longhand, the whole method on tiny models."""

import math

import numpy as np
import pytest
import torch
from helpers import segmentors as ref

from proxyclip.models.attention.naclip import NACLIP
from proxyclip.models.segmentors import resclip


def flood_longhand(labels):
    """Numbers of 4-connected regions of one label: (h, w) -> (h, w)."""
    h, w = labels.shape
    regions = np.zeros((h, w), dtype=int)
    for i, j in ref.list_cells((h, w)):
        if regions[i, j]:
            continue
        number, stack = regions.max() + 1, [(i, j)]
        while stack:
            a, b = stack.pop()
            if 0 <= a < h and 0 <= b < w and not regions[a, b] and labels[a, b] == labels[i, j]:
                regions[a, b] = number
                stack += [(a + 1, b), (a - 1, b), (a, b + 1), (a, b - 1)]
    return regions


def feedback_longhand(labels, sigma):
    regions, cells = flood_longhand(labels), ref.list_cells(labels.shape)
    out = ref.gaussian_window(labels.shape, sigma)
    for i, p in enumerate(cells):
        for j, q in enumerate(cells):
            if labels[p] != labels[q] or regions[p] == regions[q]:
                out[i, j] = labels[p] == labels[q]
    return out


@pytest.mark.parametrize("grid", [(6, 6), (4, 9)])
def test_regions_and_feedback_equal_longhand(grid):
    labels = np.random.default_rng(3).integers(0, 3, (4, *grid))
    labels[3] = 2
    got = resclip.label_connected_regions(torch.tensor(labels))
    for regions, window in zip(got.numpy(), labels, strict=True):
        want = flood_longhand(window)
        assert len({*zip(regions.ravel(), want.ravel(), strict=True)}) == want.max() == len(np.unique(regions))
    assert len(got.unique()) == sum(flood_longhand(window).max() for window in labels)
    decay = NACLIP(sigma=2.0).window(grid, grid, torch.device("cpu"))
    want = np.stack([feedback_longhand(window, 2.0) for window in labels])
    assert {0.0, 1.0} < set(want[0].ravel())
    ref.assert_close(resclip.compute_semantic_feedback(torch.tensor(labels), decay), want, 1e-6)


def test_average_attention_heads_equals_longhand(files):
    model = ref.build_method(files, "resclip")
    block, x = model.clip.blocks[1], torch.randn(2, 7, 96)
    for got, tokens in zip(resclip.average_attention_heads(block, x), x, strict=True):
        q, k, _ = ref.split_heads(block, ref.to_array(tokens))
        ref.assert_close(
            got, np.mean([ref.softmax(a @ b.T / math.sqrt(32)) for a, b in zip(q, k, strict=True)], axis=0)[None]
        )


def score_longhand(model, tile, layers, l_r, l_s, sigma):
    states, grid = ref.compute_hidden(model, tile)
    last, window = model.clip.last, ref.gaussian_window(grid, sigma)
    maps = []
    for layer in layers:
        q, k, _ = ref.split_heads(model.clip.blocks[layer - 1], states[layer - 1][1:])
        maps += [ref.softmax(a @ b.T / math.sqrt(a.shape[1])) for a, b in zip(q, k, strict=True)]
    residual = np.mean(maps, axis=0)
    _, k, v = ref.split_heads(last, states[-1][1:])

    def scores(l_s, regions):
        logits = [(1 - l_s) * a @ a.T / math.sqrt(a.shape[1]) + l_s * regions + window for a in k]
        mixed = [((1 - l_r) * ref.softmax(s) + l_r * residual) @ b for s, b in zip(logits, v, strict=True)]
        return ref.compute_cosines(model, ref.project_out(last, mixed), grid)

    labels = scores(0, 0).argmax(0)
    return scores(l_s, feedback_longhand(labels, sigma)), labels


@pytest.mark.parametrize("size", [(64, 64), (48, 96)])
@pytest.mark.parametrize("layers, l_r, l_s, sigma", [(None, 0.5, 0.7, 5.0), ([1, 2], 0.2, 0.9, 2.0), (None, 0, 0, 5.0)])
def test_extract_feat_equals_longhand(files, size, layers, l_r, l_s, sigma):
    model = ref.build_method(files, "resclip", layers=layers, residual_weight=l_r, feedback_weight=l_s, sigma=sigma)
    tiles = ref.make_images(3, *size)
    with torch.no_grad():
        got = model.extract_feat(tiles)
    label_counts = []
    for scores, tile in zip(got, tiles, strict=True):
        want, labels = score_longhand(model, tile, layers or [2], l_r, l_s, sigma)
        ref.assert_close(scores, want)
        label_counts.append(len(np.unique(labels)))
    assert max(label_counts) > 1
