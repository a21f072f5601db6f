"""ResCLIP: its equations longhand, the whole method on tiny models."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import segmentors as ref

from proxyclip.models.refine.pamr import PAMR
from proxyclip.models.segmentors import resclip


def sees_longhand(labels, p, q):
    """All sampled points of the way from cell p to cell q have p's label."""
    longest = max(labels.shape)
    distance = max(abs(p[0] - q[0]), abs(p[1] - q[1]))
    for i in range(distance + 1):
        t = np.linspace(0, 1, longest, dtype=np.float32)[i]
        point = tuple(int(np.rint(np.float32(a) * (1 - t) + np.float32(b) * t)) for a, b in zip(p, q, strict=True))
        if labels[point] != labels[p]:
            return False
    return True


def feedback_longhand(labels, sigma, line_of_sight):
    cells, longest = ref.list_cells(labels.shape), max(labels.shape) - 1
    n = len(cells)
    joined = np.zeros((n, n))
    for i, p in enumerate(cells):
        for j, q in enumerate(cells):
            if labels[p] == labels[q]:
                hidden = line_of_sight and not sees_longhand(labels, p, q)
                joined[i, j] = math.exp(-max(abs(p[0] - q[0]), abs(p[1] - q[1])) / longest) if hidden else 1
    size = min(n, int(6 * sigma + 1))
    half = size // 2
    kernel = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    blurred = np.stack([np.convolve(row, kernel)[half : half + n] for row in joined])
    out = np.zeros((n + 1, n + 1))
    out[1:, 1:] = blurred / (blurred.sum(1, keepdims=True) + 1e-8)
    return out


@pytest.mark.parametrize("line_of_sight", [True, False])
@pytest.mark.parametrize("grid", [(6, 6), (4, 9), (1, 7), (8, 3)], ids=lambda grid: f"{grid[0]}x{grid[1]}")
def test_semantic_feedback_equals_longhand(grid, line_of_sight):
    labels = np.random.default_rng(3).integers(0, 3, (3, *grid))
    labels[2] = 1
    for sigma in (5.0, 0.7):
        got = resclip.compute_semantic_feedback(torch.tensor(labels), sigma, line_of_sight)
        want = np.stack([feedback_longhand(window, sigma, line_of_sight) for window in labels])
        ref.assert_close(got, want, 1e-6)


def test_semantic_feedback_of_one_cell_is_one():
    feedback = resclip.compute_semantic_feedback(torch.zeros(2, 1, 1, dtype=torch.int64), 5.0)
    ref.assert_close(feedback, [[[0, 0], [0, 1]]] * 2, 1e-6)


def test_cells_see_each_other_past_the_looked_at_part_of_the_way():
    """A wall in the far half of a short way is not looked at, as published."""
    labels = torch.zeros(1, 1, 9, dtype=torch.int64)
    labels[0, 0, 3] = 1
    visible = resclip.find_visible_cells(labels)[0]
    assert visible[2, 4]  # three of nine points, the last at a quarter of the way
    assert not visible[0, 8]


@pytest.mark.parametrize("grid, patch", [((3, 5), 4), ((2, 2), 3)])
def test_most_frequent_labels_equal_longhand(grid, patch):
    pixels = np.random.default_rng(0).integers(0, 4, (2, grid[0] * patch + 2, grid[1] * patch + 1))
    got = resclip.take_most_frequent_labels(torch.tensor(pixels), grid, patch, 4)
    for b, i, j in np.ndindex(got.shape):
        block = pixels[b, i * patch : (i + 1) * patch, j * patch : (j + 1) * patch]
        assert got[b, i, j] == np.bincount(block.ravel(), minlength=4).argmax()  # the first of equal ones


def test_average_attention_equals_longhand(files):
    model = ref.build_method(files, "resclip")
    layers = [(model.clip.blocks[i], torch.randn(2, 7, 96)) for i in range(2)]
    got = resclip.average_attention(layers)
    for n in range(2):
        maps = []
        for block, x in layers:
            q, k, _ = ref.split_heads(block, ref.to_array(x[n]))
            maps.append([ref.softmax(a @ b.T / math.sqrt(32)) for a, b in zip(q, k, strict=True)])
        ref.assert_close(got[n], np.mean(maps, axis=0), 1e-6)


def finish_block(block, x, tokens):
    """SCLIP's residual connection and MLP, in torch: arrays (N, C) -> (N, C)."""
    with torch.no_grad():
        x = torch.tensor(x + tokens).float()
        return ref.to_array(x + block.mlp(block.ln_2(x)))


def score_longhand(model, tile, layers, base="naclip", r=(2.0, 0.3), s=(2.1, 0.7), threshold=0.25, sight=True):
    states, grid = ref.compute_hidden(model, tile)
    block, x = model.clip.last, states[-1]
    middle = []
    for layer in layers:
        q, k, _ = ref.split_heads(model.clip.blocks[layer - 1], states[layer - 1])
        middle.append([ref.softmax(a @ b.T / math.sqrt(32)) for a, b in zip(q, k, strict=True)])
    middle = np.mean(middle, axis=0)
    q, k, v = ref.split_heads(block, x)
    compared = {"naclip": [k], "clearclip": [q], "sclip": [q, k]}[base]
    window = np.zeros((len(x), len(x)))
    if base == "naclip":
        window[1:, 1:] = ref.gaussian_window(grid, 5.0)

    def scores(temperature, share, feedback):
        mixed = []
        for head in range(len(v)):
            own = sum(
                ref.softmax(temperature * ((1 - share) * a[head] @ a[head].T / math.sqrt(32) + feedback) + window)
                for a in compared
            )
            mixed.append(r[0] * ((1 - r[1]) * own + r[1] * middle[head]) @ v[head])
        tokens = ref.project_out(block, mixed)
        if base == "sclip":
            tokens = finish_block(block, x, tokens)
        return ref.compute_cosines(model, tokens[1:], grid)

    first = torch.tensor(scores(1.0, 0.0, 0.0))[None].float()
    maps = F.interpolate(first, size=tile.shape[1:], mode="bilinear")[0]
    probabilities, pixels = (40 * PAMR()(maps, tile)).softmax(0).max(0)
    pixels = np.where(probabilities < threshold, 0, pixels)
    h, w = grid
    blocks = pixels.reshape(h, 16, w, 16).transpose(0, 2, 1, 3).reshape(h, w, -1)
    labels = np.array([[np.bincount(cell).argmax() for cell in row] for row in blocks])
    feedback = feedback_longhand(labels, 5.0, sight)
    return scores(s[0], s[1], s[1] * feedback / feedback.max()), labels


@pytest.mark.parametrize("size", [(64, 64), (48, 96)])
@pytest.mark.parametrize("changes, longhand", [
    ({}, {}),
    (dict(residual_temperature=1.5, residual_weight=0.6, feedback_temperature=1.8, feedback_weight=0.4,
          label_threshold=0.3, line_of_sight=False), dict(r=(1.5, 0.6), s=(1.8, 0.4), threshold=0.3, sight=False)),
    (dict(base="clearclip"), dict(base="clearclip")),
    (dict(base="sclip"), dict(base="sclip")),
])  # fmt: skip
def test_extract_feat_equals_longhand(files, size, changes, longhand):
    model = ref.build_method(files, "resclip", layers=[1, 2], **changes)
    tiles = ref.make_images(3, *size)
    with torch.no_grad():
        got = model.extract_feat(tiles)
    label_counts = []
    for scores, tile in zip(got, tiles, strict=True):
        want, labels = score_longhand(model, tile, [1, 2], **longhand)
        ref.assert_close(scores, want)
        label_counts.append(len(np.unique(labels)))
    assert max(label_counts) > 1
