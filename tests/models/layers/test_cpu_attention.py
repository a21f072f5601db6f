"""Attention head by head: the same results, and only where it is faster."""

import pytest
import timm
import torch
import torch.nn.functional as F

from proxyclip.models.layers.cpu_attention import compute_headwise_attention, use_headwise_attention


def queries(tokens=600, dtype=torch.float32, heads=3):
    return torch.randn(3, 2, heads, tokens, 16, generator=torch.Generator().manual_seed(0)).to(dtype).unbind(0)


@pytest.mark.parametrize("scale", [None, 0.7])
def test_headwise_attention_equals_pytorch(scale):
    q, k, v = queries()
    want = F.scaled_dot_product_attention(q, k, v, scale=scale)
    torch.testing.assert_close(compute_headwise_attention(q, k, v, scale), want, atol=5e-6, rtol=0)


@pytest.fixture
def calls(monkeypatch):
    shapes = []

    def watched(q, k, v, scale=None):
        shapes.append(q.shape)
        return compute_headwise_attention(q, k, v, scale)

    monkeypatch.setattr("proxyclip.models.layers.cpu_attention.compute_headwise_attention", watched)
    monkeypatch.setattr("proxyclip.models.layers.cpu_attention._has_amx", lambda: False)
    return shapes


def test_bfloat16_on_a_cpu_is_computed_head_by_head(calls):
    q, k, v = queries(dtype=torch.bfloat16)
    want = F.scaled_dot_product_attention(q.float(), k.float(), v.float())
    with use_headwise_attention(q):
        got = F.scaled_dot_product_attention(q, k, v)
    assert calls == [q.shape]
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), want, atol=1e-2, rtol=0)
    F.scaled_dot_product_attention(q, k, v)
    assert len(calls) == 1  # outside nothing is changed


def test_other_attention_is_left_to_pytorch(calls, monkeypatch):
    q, k, v = queries(dtype=torch.bfloat16)
    mask = torch.zeros(1, 1, 600, 600, dtype=torch.bfloat16)
    with use_headwise_attention(q):
        F.scaled_dot_product_attention(q, k, v, mask)
        F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        F.scaled_dot_product_attention(q, k, v, is_causal=True)
        F.scaled_dot_product_attention(q, k[:, :, :100], v[:, :, :100])
        F.scaled_dot_product_attention(*queries(100, torch.bfloat16))
        F.scaled_dot_product_attention(q, k, v, dropout_p=0.5)
    with use_headwise_attention(q.float()):
        F.scaled_dot_product_attention(q.float(), k.float(), v.float())
    monkeypatch.setattr("proxyclip.models.layers.cpu_attention._has_amx", lambda: True)
    with use_headwise_attention(q):
        F.scaled_dot_product_attention(q, k, v)
    assert calls == []


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_small_patch16_dinov3"])
def test_timm_models_use_it_in_every_block(calls, name):
    small = dict(depth=2, embed_dim=48, num_heads=3, num_classes=0, dynamic_img_size=True)
    vit = timm.create_model(name, **small).eval()
    image = torch.rand(1, 3, 384, 384, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        want = vit.forward_features(image)
        low, pixels = vit.bfloat16(), image.bfloat16()
        with use_headwise_attention(pixels):
            got = low.forward_features(pixels).float()
    assert len(calls) == 2
    assert F.cosine_similarity(got, want, dim=-1).min() > 0.99
