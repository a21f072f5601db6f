"""Every strategy keeps the contract and equals its equation written out longhand; degenerate windows.

A new strategy needs its own longhand here: `test_every_strategy_has_a_longhand` requires it.
"""

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


def attend(block, x, weigh):
    """Output (N, C) of all heads of one window (N, C), head by head; `weigh(q, k, v)` gives (N, N)."""
    y = block.ln_1(x)
    weight, bias = block.attn.in_proj_weight, block.attn.in_proj_bias
    mixed = []
    for h in range(HEADS):
        rows = [slice(part * WIDTH + h * DIM, part * WIDTH + (h + 1) * DIM) for part in range(3)]
        q, k, v = (y @ weight[r].T + bias[r] for r in rows)
        mixed.append(weigh(q, k, v) @ v)
    return block.attn.out_proj(torch.cat(mixed, 1))


def softmax_of(a, b, added=0):
    return (a @ b.T / math.sqrt(DIM) + added).softmax(1)


def direct(weigh, residual=False):
    """The equation of a strategy that weighs tokens head by head, with the rest of the block or without."""

    def longhand(block, x, grid, guide):
        attended = attend(block, x, weigh)
        return (x + attended + block.mlp(block.ln_2(x + attended)) if residual else attended)[1:]

    return longhand


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
    added = F.pad(window(grid, grid, 5), (1, 0, 1, 0))
    return attend(block, x, lambda q, k, v: softmax_of(k, k, added))[1:]


def proxy_scores(guide, beta=1.2, gamma=3.0):
    f = guide.flatten(1) / guide.flatten(1).norm(dim=0)
    scores = gamma * (f.T @ f - beta * (f.T @ f).mean())
    return scores.masked_fill((scores < 0) & ~torch.eye(len(scores), dtype=torch.bool), -float("inf"))


def attend_upsampled(block, x, grid, guide, weights):
    """Values upsampled before the output projection, as the paper writes it."""
    values = block.ln_1(x[1:]) @ block.attn.in_proj_weight[2 * WIDTH :].T + block.attn.in_proj_bias[2 * WIDTH :]
    maps = F.interpolate(values.T.reshape(1, WIDTH, *grid), size=guide.shape[1:], mode="bilinear")
    return block.attn.out_proj(weights @ maps.flatten(2)[0].T)


def proxy(block, x, grid, guide):
    return attend_upsampled(block, x, grid, guide, proxy_scores(guide).softmax(1))


def naclip_guided(block, x, grid, guide):
    weights = (proxy_scores(guide) + window(tuple(guide.shape[1:]), grid, 5)).softmax(1)
    return attend_upsampled(block, x, grid, guide, weights)


def own_values(q, k, v):
    return torch.eye(len(v))


def correlated(q, k, v):
    return softmax_of(q, q) + softmax_of(k, k)


LONGHAND = [
    (Vanilla(), direct(lambda q, k, v: softmax_of(q, k), residual=True)),
    (MaskCLIP(), direct(own_values)),
    (MaskCLIP(residual=True), direct(own_values, residual=True)),
    (SCLIP(), direct(correlated, residual=True)),
    (SCLIP(residual=False), direct(correlated)),
    (ClearCLIP(), direct(lambda q, k, v: softmax_of(q, q))),
    (ClearCLIP("vv"), direct(lambda q, k, v: softmax_of(v, v))),
    (NACLIP(), naclip),
    (NACLIP(), naclip_guided),
    (Proxy(), proxy),
]
CASES = [pytest.param(s, f, id=f"{s!r}-{f.__name__}") for s, f in LONGHAND]


@pytest.fixture
def block():
    torch.manual_seed(0)
    block = ResidualAttentionBlock(WIDTH, HEADS).requires_grad_(False).eval()
    torch.nn.init.normal_(block.attn.in_proj_bias)
    torch.nn.init.normal_(block.attn.out_proj.bias)
    return block


def inputs(strategy, longhand, grid, to, batch=4):
    guided = strategy.guided if strategy.guided is not None else "guided" in longhand.__name__
    x = torch.randn(batch, 1 + grid[0] * grid[1], WIDTH)
    return x, torch.randn(batch, 10, *to) if guided else None


def test_every_strategy_has_a_longhand():
    assert {type(s) for s, _ in LONGHAND} == {load_plugin_class("attention", n) for n in list_plugins("attention")}


@pytest.mark.parametrize(("grid", "to"), GRIDS)
@pytest.mark.parametrize(("strategy", "longhand"), CASES)
def test_strategy_keeps_the_contract_and_equals_longhand(block, strategy, longhand, grid, to):
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
def test_strategy_keeps_the_dtype(block, strategy, longhand, dtype):
    x, guide = inputs(strategy, longhand, (2, 5), (4, 7))
    exact = strategy(block, x, (2, 5), guide)[0]
    guide = None if guide is None else guide.to(dtype)
    tokens, _ = strategy(block.to(dtype), x.to(dtype), (2, 5), guide)
    assert tokens.dtype == dtype
    torch.testing.assert_close(tokens.float(), exact, atol=0.1, rtol=0.1)


@pytest.mark.parametrize(("strategy", "longhand"), CASES)
def test_repr_rebuilds_the_strategy(strategy, longhand):
    again = eval(repr(strategy), {type(strategy).__name__: type(strategy)})
    assert again == strategy
    with pytest.raises(AttributeError):
        strategy.beta = 2


def test_patches_of_a_uniform_window_attend_to_themselves():
    weights = Proxy().weights(torch.ones(2, 4, 3, 5))
    torch.testing.assert_close(weights, torch.eye(15).expand(2, 15, 15))


@pytest.mark.parametrize("beta", [0.0, 1.2, 100.0])
@pytest.mark.parametrize("guide", [torch.zeros(1, 4, 3, 5), torch.randn(1, 4, 3, 5), torch.rand(1, 1, 2, 2)])
def test_proxy_weights_sum_to_one_for_any_guide(guide, beta):
    weights = Proxy(beta).weights(guide)
    torch.testing.assert_close(weights.sum(2), torch.ones(weights.shape[:2]))


def test_proxy_without_guide_is_refused(block):
    with pytest.raises(ValueError, match="set vfm_model"):
        Proxy()(block, torch.randn(1, 5, WIDTH), (2, 2), None)


def test_unknown_pair_of_clearclip_is_refused():
    with pytest.raises(ValueError, match="one of qq, kk, vv, qk, but got 'qv'"):
        ClearCLIP("qv")


def test_build_strategy_checks_the_need_for_a_vfm():
    assert build_strategy(None, guided=True) == Proxy()
    assert build_strategy(None, guided=False) == Vanilla()
    assert build_strategy("naclip", guided=True) == build_strategy("naclip", guided=False) == NACLIP()
    with pytest.raises(ValueError, match="SCLIP uses no VFM"):
        build_strategy("sclip", guided=True)
    with pytest.raises(ValueError, match="Proxy needs a VFM"):
        build_strategy("proxy", guided=False)
