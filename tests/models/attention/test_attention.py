"""Every strategy keeps the contract and equals its equation written out longhand; degenerate windows.

A new strategy needs its own longhand here: `test_every_strategy_has_a_longhand` asks for it.
"""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock

from proxyclip.models.attention import build_strategy
from proxyclip.models.attention.clearclip import ClearCLIP
from proxyclip.models.attention.maskclip import MaskCLIP
from proxyclip.models.attention.naclip import NACLIP
from proxyclip.models.attention.proxy import Proxy
from proxyclip.models.attention.sclip import SCLIP
from proxyclip.models.attention.vanilla import Vanilla
from proxyclip.models.registry import list_plugins, load_plugin_class

WIDTH, HEADS = 24, 3
DIM = WIDTH // HEADS
GRIDS = [((3, 3), (6, 6)), ((2, 5), (4, 7)), ((5, 2), (5, 2)), ((1, 1), (1, 3))]


def parts(block, x):
    """Queries, keys and values of one window (N, C), each (heads, N, d), head by head."""
    y = block.ln_1(x)
    weight, bias = block.attn.in_proj_weight, block.attn.in_proj_bias
    out = []
    for part in range(3):
        rows = [slice(part * WIDTH + h * DIM, part * WIDTH + (h + 1) * DIM) for h in range(HEADS)]
        out.append(torch.stack([y @ weight[r].T + bias[r] for r in rows]))
    return out


def out_proj(block, heads):
    """(heads, N, d) -> (N, C)."""
    return block.attn.out_proj(torch.cat(list(heads), 1))


def rest(block, x, attended):
    x = x + attended
    return x + block.mlp(block.ln_2(x))


def vanilla(block, x, grid, guide):
    q, k, v = parts(block, x)
    mixed = [(q[h] @ k[h].T / math.sqrt(DIM)).softmax(1) @ v[h] for h in range(HEADS)]
    return rest(block, x, out_proj(block, mixed))[1:]


def maskclip(block, x, grid, guide):
    return out_proj(block, parts(block, x)[2])[1:]


def maskclip_residual(block, x, grid, guide):
    return rest(block, x, out_proj(block, parts(block, x)[2]))[1:]


def sclip_bare(block, x, grid, guide):
    q, k, v = parts(block, x)
    scale = math.sqrt(DIM)
    mixed = [((q[h] @ q[h].T / scale).softmax(1) + (k[h] @ k[h].T / scale).softmax(1)) @ v[h] for h in range(HEADS)]
    return out_proj(block, mixed)


def clearclip(block, x, grid, guide):
    q, _, v = parts(block, x)
    return out_proj(block, [(q[h] @ q[h].T / math.sqrt(DIM)).softmax(1) @ v[h] for h in range(HEADS)])[1:]


def clearclip_vv(block, x, grid, guide):
    v = parts(block, x)[2]
    return out_proj(block, [(v[h] @ v[h].T / math.sqrt(DIM)).softmax(1) @ v[h] for h in range(HEADS)])[1:]


def window(grid, unit, sigma):
    """exp(-distance² / (2 sigma²)) cell by cell, distances in cells of `unit`."""
    (h, w), out = grid, torch.zeros(grid[0] * grid[1], grid[0] * grid[1])
    for i in range(h * w):
        for j in range(h * w):
            dy = (i // w - j // w) * unit[0] / h
            dx = (i % w - j % w) * unit[1] / w
            out[i, j] = math.exp(-(dy**2 + dx**2) / (2 * sigma**2))
    return out


def naclip(block, x, grid, guide):
    _, k, v = parts(block, x)
    mixed = []
    for h in range(HEADS):
        scores = k[h] @ k[h].T / math.sqrt(DIM)
        scores[1:, 1:] += window(grid, grid, 5)
        mixed.append(scores.softmax(1) @ v[h])
    return out_proj(block, mixed)[1:]


def proxy_scores(guide, beta=1.2, gamma=3.0):
    f = guide.flatten(1) / guide.flatten(1).norm(dim=0)
    scores = gamma * (f.T @ f - beta * (f.T @ f).mean())
    return scores.masked_fill((scores < 0) & ~torch.eye(len(scores), dtype=torch.bool), -float("inf"))


def upsampled(block, x, grid, guide):
    """Values per head on the guide's grid, before the output projection."""
    values = torch.cat(list(parts(block, x)[2]), 1)[1:]
    maps = F.interpolate(values.T.reshape(1, WIDTH, *grid), size=guide.shape[1:], mode="bilinear")
    return maps.flatten(2)[0].reshape(HEADS, DIM, -1).mT


def proxy(block, x, grid, guide):
    """Head by head, upsampling before the output projection, as the paper writes it."""
    weights = proxy_scores(guide).softmax(1)
    return out_proj(block, [weights @ v for v in upsampled(block, x, grid, guide)])


def naclip_guided(block, x, grid, guide):
    weights = (proxy_scores(guide) + window(tuple(guide.shape[1:]), grid, 5)).softmax(1)
    return out_proj(block, [weights @ v for v in upsampled(block, x, grid, guide)])


LONGHAND = [
    (Vanilla(), vanilla),
    (MaskCLIP(), maskclip),
    (MaskCLIP(residual=True), maskclip_residual),
    (SCLIP(), lambda block, x, *rest_: rest(block, x, sclip_bare(block, x, *rest_))[1:]),
    (SCLIP(residual=False), lambda *args: sclip_bare(*args)[1:]),
    (ClearCLIP(), clearclip),
    (ClearCLIP("vv"), clearclip_vv),
    (NACLIP(), naclip),
    (NACLIP(), naclip_guided),
    (Proxy(), proxy),
]
CASES = [pytest.param(s, f, id=f"{type(s).__name__}-{f.__name__}") for s, f in LONGHAND]


@pytest.fixture
def block():
    torch.manual_seed(0)
    made = ResidualAttentionBlock(WIDTH, HEADS).requires_grad_(False).eval()
    torch.nn.init.normal_(made.attn.in_proj_bias)
    torch.nn.init.normal_(made.attn.out_proj.bias)
    return made


def inputs(strategy, longhand, grid, to, batch=4):
    guided = strategy.guided if strategy.guided is not None else "guided" in longhand.__name__
    x = torch.randn(batch, 1 + grid[0] * grid[1], WIDTH)
    return x, torch.randn(batch, 10, *to) if guided else None


def test_every_strategy_has_a_longhand():
    assert {type(s) for s, _ in LONGHAND} == {load_plugin_class("attention", n) for n in list_plugins("attention")}


@pytest.mark.parametrize(("grid", "to"), GRIDS)
@pytest.mark.parametrize(("strategy", "longhand"), CASES)
def test_contract(block, strategy, longhand, grid, to):
    """Shapes on square and non-square grids, the equation, and one window alone = in a batch."""
    x, guide = inputs(strategy, longhand, grid, to)
    tokens, out = strategy(block, x, grid, guide)
    assert out == (grid if guide is None else to)
    assert tokens.shape == (4, out[0] * out[1], WIDTH)
    for i in range(4):
        one = None if guide is None else guide[i : i + 1]
        torch.testing.assert_close(strategy(block, x[i : i + 1], grid, one)[0][0], tokens[i], atol=1e-5, rtol=1e-5)
        want = longhand(block, x[i], grid, None if one is None else one[0])
        torch.testing.assert_close(tokens[i], want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize(("strategy", "longhand"), CASES)
def test_dtype_is_kept(block, strategy, longhand, dtype):
    x, guide = inputs(strategy, longhand, (2, 5), (4, 7))
    exact = strategy(block, x, (2, 5), guide)[0]
    guide = None if guide is None else guide.to(dtype)
    tokens, _ = strategy(block.to(dtype), x.to(dtype), (2, 5), guide)
    assert tokens.dtype == dtype
    torch.testing.assert_close(tokens.float(), exact, atol=0.1, rtol=0.1)


@pytest.mark.parametrize(("strategy", "longhand"), CASES)
def test_the_record_can_tell_it(strategy, longhand):
    """The repr names the class and every option, and rebuilds the strategy."""
    again = eval(repr(strategy), {type(strategy).__name__: type(strategy)})
    assert again == strategy
    with pytest.raises(AttributeError):
        strategy.beta = 2


def test_uniform_window_attends_to_itself():
    weights = Proxy().weights(torch.ones(2, 4, 3, 5))
    torch.testing.assert_close(weights, torch.eye(15).expand(2, 15, 15))


@pytest.mark.parametrize("beta", [0.0, 1.2, 100.0])
@pytest.mark.parametrize("guide", [torch.zeros(1, 4, 3, 5), torch.randn(1, 4, 3, 5), torch.rand(1, 1, 2, 2)])
def test_rows_sum_to_one_whatever_the_guide(guide, beta):
    weights = Proxy(beta).weights(guide)
    torch.testing.assert_close(weights.sum(2), torch.ones(weights.shape[:2]))


def test_mean_is_taken_per_window():
    a, b = torch.randn(1, 6, 4, 4), torch.rand(1, 6, 4, 4)
    together = Proxy().weights(torch.cat([a, b]))
    torch.testing.assert_close(together, torch.cat([Proxy().weights(a), Proxy().weights(b)]))


def test_proxy_without_guide_says_so(block):
    with pytest.raises(ValueError, match="set vfm_model"):
        Proxy()(block, torch.randn(1, 5, WIDTH), (2, 2), None)


def test_unknown_pair_lists_the_known():
    with pytest.raises(ValueError, match="one of qq, kk, vv, qk, but got 'qv'"):
        ClearCLIP("qv")


def test_combinations_with_a_vfm():
    assert build_strategy(None, guided=True) == Proxy()
    assert build_strategy(None, guided=False) == Vanilla()
    assert build_strategy("naclip", guided=True) == build_strategy("naclip", guided=False) == NACLIP()
    with pytest.raises(ValueError, match="SCLIP uses no VFM"):
        build_strategy("sclip", guided=True)
    with pytest.raises(ValueError, match="Proxy needs a VFM"):
        build_strategy("proxy", guided=False)
