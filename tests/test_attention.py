"""Every strategy keeps the contract; the proxy map against its formula, including degenerate windows."""

from __future__ import annotations

import pytest
import torch
from open_clip.transformer import ResidualAttentionBlock

from proxyclip import plugins
from proxyclip.attention.maskclip import MaskCLIP
from proxyclip.attention.proxy import Proxy

WIDTH, HEADS = 24, 3


@pytest.fixture
def block():
    torch.manual_seed(0)
    made = ResidualAttentionBlock(WIDTH, HEADS).requires_grad_(False).eval()
    torch.nn.init.normal_(made.attn.in_proj_bias)
    torch.nn.init.normal_(made.attn.out_proj.bias)
    return made


@pytest.mark.parametrize("name", plugins.known("attention"))
@pytest.mark.parametrize("grid, to", [((3, 3), (6, 6)), ((2, 5), (4, 7)), ((1, 1), (1, 3))])
def test_contract(block, name, grid, to):
    strategy = plugins.build("attention", name)
    x = torch.randn(4, 1 + grid[0] * grid[1], WIDTH)
    guide = torch.randn(4, 10, *to) if strategy.guided else None
    tokens, out = strategy(block, x, grid, guide)
    assert out == (to if strategy.guided else grid)
    assert tokens.shape == (4, out[0] * out[1], WIDTH)
    alone = torch.cat(
        [strategy(block, x[i : i + 1], grid, None if guide is None else guide[i : i + 1])[0] for i in range(4)]
    )
    torch.testing.assert_close(tokens, alone, atol=1e-5, rtol=1e-5)
    assert "=" in repr(strategy) or repr(strategy).endswith("()")


def test_proxy_equals_its_formula(block):
    """Head by head, upsampling before the output projection, as the paper writes it."""
    x, guide = torch.randn(1, 7, WIDTH), torch.randn(1, 8, 4, 5)
    f = guide[0].flatten(1) / guide[0].flatten(1).norm(dim=0)
    scores = 3.0 * (f.T @ f - 1.2 * (f.T @ f).mean())
    weights = scores.masked_fill(scores < 0, -float("inf")).softmax(1)
    values = torch.nn.functional.linear(
        block.ln_1(x)[:, 1:], block.attn.in_proj_weight[-WIDTH:], block.attn.in_proj_bias[-WIDTH:]
    )
    maps = torch.nn.functional.interpolate(values.mT.reshape(1, WIDTH, 2, 3), size=(4, 5), mode="bilinear")
    heads = maps.flatten(2).mT.reshape(20, HEADS, -1)
    mixed = torch.einsum("nm,mhd->nhd", weights, heads).reshape(20, WIDTH)
    tokens, grid = Proxy()(block, x, (2, 3), guide)
    assert grid == (4, 5)
    torch.testing.assert_close(tokens[0], block.attn.out_proj(mixed), atol=1e-5, rtol=1e-5)


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


def test_maskclip_is_the_value_path(block):
    x = torch.randn(2, 7, WIDTH)
    q, k, v = block.attn.in_proj_weight.chunk(3)
    del q, k
    values = block.ln_1(x) @ v.T + block.attn.in_proj_bias[-WIDTH:]
    torch.testing.assert_close(MaskCLIP()(block, x, (2, 3), None)[0], block.attn.out_proj(values)[:, 1:])
